#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of the data, without any package: python3 test_data.py"""
import json
import os
import random
import re
import unittest

import noise
import values
from generate import CORE_LENGTH, PARAMETERS, TEMPLATE_SHARE, Generator
from lexicon import is_held_out, read_sections

HERE = os.path.dirname(os.path.abspath(__file__))
COPIED = ("name", "to", "text", "query", "title", "label", "phone")


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return json.load(f) if name.endswith(".json") else [json.loads(line) for line in f]


def check_type(case, value, schema):
    kind = {"boolean": bool, "string": str, "integer": int}[schema["type"]]
    case.assertIs(type(value), kind)
    if "pattern" in schema:
        case.assertRegex(value, schema["pattern"])
    if "enum" in schema:
        case.assertIn(value, schema["enum"])
    if kind is int:
        case.assertGreaterEqual(value, schema.get("minimum", value))
        case.assertLessEqual(value, schema.get("maximum", value))


class Calls(unittest.TestCase):
    def setUp(self):
        self.functions = {f["name"]: f["parameters"] for f in read("functions.json")["functions"]}

    def check(self, example):
        call = example["call"]
        arguments = call["arguments"]
        if call["name"] == "none":
            self.assertEqual(arguments, {})
            return
        schema = self.functions[call["name"]]
        self.assertEqual([k for k in schema["properties"] if k in arguments], list(arguments))
        for key in schema["required"]:
            self.assertIn(key, arguments)
        for key, value in arguments.items():
            check_type(self, value, schema["properties"][key])
            if key in COPIED:
                self.assertIn(value, example["request"])
                self.assertTrue(value)
        if "day" in arguments:
            self.assertRegex(arguments["day"], r"^(today|tomorrow|(mon|tues|wednes|thurs|fri|satur|sun)day|\d\d-\d\d)$")

    def test_generated_calls_follow_the_functions(self):
        for split in ("train", "test"):
            generator = Generator(split, 3)
            for _ in range(4000):
                example = generator.example()
                with self.subTest(example=example):
                    self.check(example)

    def test_handwritten_calls_follow_the_functions(self):
        for name in ("handwritten.jsonl", "handwritten-dev.jsonl"):
            for example in read(name):
                with self.subTest(example=example):
                    self.check(example)

    def test_parameters_are_those_of_the_functions(self):
        for name, schema in self.functions.items():
            self.assertEqual(PARAMETERS[name], tuple(schema["properties"]))


class Splits(unittest.TestCase):
    def test_same_seed_same_lines(self):
        a, b = Generator("train", 5), Generator("train", 5)
        self.assertEqual([a.example() for _ in range(200)], [b.example() for _ in range(200)])

    def test_words_of_one_split_are_not_in_the_other(self):
        train, test = Generator("train", 1).lex, Generator("test", 1).lex
        for name in ("first", "surnames", "cities", "kinds", "events", "labels", "tasks", "relations", "businesses"):
            self.assertFalse(set(getattr(train, name)) & set(getattr(test, name)), name)
            self.assertTrue(getattr(test, name), name)

    def test_every_function_has_held_out_wordings(self):
        for name in ("orders.txt", "free.txt"):
            held_out = sum(len(s) >= CORE_LENGTH and is_held_out(s, TEMPLATE_SHARE)
                           for lines in read_sections(name).values() for s in lines)
            self.assertGreater(held_out, 20, name)
        generator = Generator("test", 1)
        self.assertEqual({generator.example()["call"]["name"] for _ in range(2000)}, set(PARAMETERS))


class Conventions(unittest.TestCase):
    def test_hours_without_part_of_day(self):
        self.assertEqual([values.bare_hour(h, "event") for h in (1, 6, 7, 11, 12)], [13, 18, 7, 11, 12])
        self.assertEqual([values.bare_hour(h, "alarm") for h in (1, 6, 7, 11, 12)], [1, 6, 7, 11, 12])

    def test_spoken_times(self):
        rng, seen = random.Random(2), {}
        for _ in range(60000):
            text, value = values.time_of_day(rng, "alarm")
            seen[text] = value
        wanted = {"half past six in the evening": "18:30", "quarter to seven": "06:45", "noon": "12:00", "midnight": "00:00", "12": "12:00",
                  "12:30 am": "00:30", "quarter to one pm": "12:45", "7:30 pm": "19:30", "five past eight": "08:05"}
        self.assertEqual({k: seen.get(k) for k in wanted}, wanted)

    def test_spoken_durations(self):
        rng, seen = random.Random(2), {}
        for _ in range(60000):
            text, value = values.duration(rng)
            seen[text] = value
        wanted = {"an hour and a half": 5400, "two and a half minutes": 150, "90 seconds": 90, "half an hour": 1800, "1h20m": 4800}
        self.assertEqual({k: seen.get(k) for k in wanted}, wanted)

    def test_copied_parts_are_read_off_the_final_text(self):
        rng = random.Random(4)
        for _ in range(2000):
            request, copies = noise.finish(rng, "call " + noise.copied("name", "Jean-Luc O'Brien") + " now")
            self.assertIn(copies["name"], request)
            self.assertFalse(re.search("[\ue000-\ue0ff]", request))


if __name__ == "__main__":
    unittest.main()
