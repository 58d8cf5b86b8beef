#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write requests with the call that answers each, one JSON object per line.

    python3 generate.py --split train|test --n 1000 --seed 1

The same split, count and seed give the same lines. The two splits share no wording: every template, name,
place, title and label belongs to one of them by the hash of its spelling.
"""
import argparse
import json
import random

import noise
import values
from lexicon import Lexicon, is_held_out, read_sections

TEMPLATE_SHARE = 7     # one template in so many is held out for the test split
CORE_LENGTH = 22       # shorter ones are the wordings that everybody uses; they are always trained on
PARAMETERS = {"set_flashlight": ("on",), "set_alarm": ("time", "label"), "set_timer": ("seconds",), "set_volume": ("percent",),
              "open_settings": ("page",), "call_contact": ("name",), "send_message": ("to", "text"), "show_map": ("query",),
              "create_event": ("title", "day", "time"), "create_contact": ("name", "phone"), "none": ()}
# intent: (function, weight)
INTENTS = {"flash_on": ("set_flashlight", 3), "flash_off": ("set_flashlight", 3), "alarm": ("set_alarm", 9), "alarm_label": ("set_alarm", 5),
           "timer": ("set_timer", 12), "volume": ("set_volume", 5), "volume_max": ("set_volume", 1), "volume_mute": ("set_volume", 1.5),
           "volume_half": ("set_volume", 0.7), "settings": ("open_settings", 6), "call": ("call_contact", 7), "message": ("send_message", 13),
           "map": ("show_map", 9), "event": ("create_event", 13), "contact": ("create_contact", 7), "refusal": ("none", 16),
           "negated": ("none", 5)}
FIXED = {"flash_on": {"on": True}, "flash_off": {"on": False}, "volume_max": {"percent": 100}, "volume_mute": {"percent": 0},
         "volume_half": {"percent": 50}}


def compile_template(text):
    """Turn '[a|b {c}]' into a list of strings, ('slot', name) and ('any', lists)."""
    def sequence(i, stops):
        out, plain = [], ""
        while i < len(text) and text[i] not in stops:
            if text[i] == "[":
                options, i = [], i + 1
                while True:
                    option, i = sequence(i, "|]")
                    options.append(option)
                    i += 1
                    if text[i - 1] == "]":
                        break
                out += [plain, ("any", options)]
                plain = ""
            elif text[i] == "{":
                end = text.index("}", i)
                out += [plain, ("slot", text[i + 1:end])]
                plain, i = "", end + 1
            else:
                plain += text[i]
                i += 1
        return [p for p in out + [plain] if p != ""], i
    return sequence(0, "")[0]


class Generator:
    """Draws requests of one split from one seed."""

    def __init__(self, split, seed):
        self.rng = random.Random(f"{split}-{seed}")
        self.lex = Lexicon(split)
        self.split = split
        self.orders, self.free = self.read("orders.txt"), self.read("free.txt")
        texts, around = self.read("messages.txt"), self.read("around.txt")
        self.messages, self.questions, self.wishes = texts["messages"], texts["questions"], texts["wishes"]
        self.refusals = self.read("refusals.txt")["refusals"]
        self.openers, self.free_openers, self.closers = around["openers"], around["free_openers"], around["closers"]
        self.negations, self.taken_back, self.before, self.after = (around[k] for k in ("negations", "taken_back", "before", "after"))
        self.negatable = [k for k in self.orders if k in INTENTS and self.orders[k]]
        self.names = [k for k in INTENTS if k not in self.orders or self.orders[k] or self.free[k]]
        self.weights = [INTENTS[k][1] for k in self.names]

    def read(self, name):
        """The templates of one file that belong to this split, by section."""
        held_out = self.split == "test"
        sections = {}
        for section, lines in read_sections(name).items():
            kept = [s for s in lines if (len(s) >= CORE_LENGTH and is_held_out(s, TEMPLATE_SHARE)) == held_out]
            if held_out and (name == "around.txt" or section in ("light", "questions", "wishes")):
                kept = lines
            sections[section] = [compile_template(s) for s in kept]
        return sections

    def pick(self, templates, slots=None):
        return self.expand(self.rng.choice(templates), {} if slots is None else slots)

    def expand(self, template, slots):
        out = []
        for part in template:
            if isinstance(part, str):
                out.append(part)
            elif part[0] == "any":
                out.append(self.expand(self.rng.choice(part[1]), slots))
            else:
                out.append(getattr(self, "slot_" + part[1])(slots))
        return "".join(out)

    # ---- slots whose value is computed ----

    def slot_alarm(self, slots):
        text, slots["time"] = values.alarm_time(self.rng)
        return text

    slot_alarm_lead = slot_alarm

    def slot_clock(self, slots):
        text, slots["time"] = values.time_of_day(self.rng, "alarm")
        return text

    def slot_dur(self, slots):
        text, slots["seconds"] = values.duration(self.rng)
        return text

    def slot_durn(self, slots):
        text, slots["seconds"] = values.duration_adjective(self.rng)
        return text

    def slot_pct(self, slots):
        text, slots["percent"] = values.percent(self.rng)
        return text

    def slot_pctn(self, slots):
        n = slots["percent"] = values.percent_number(self.rng)
        return values.number(self.rng, n) + self.rng.choice((" percent", " percent", ""))

    def slot_when(self, slots):
        text, slots["day"], time = values.when(self.rng, "event")
        if time is not None:
            slots["time"] = time
        return text

    slot_when_put = slot_when

    def slot_page(self, slots):
        page = slots["page"] = self.rng.choice(list(self.lex.pages))
        return self.rng.choice(self.lex.pages[page])

    def slot_open_page(self, slots):
        page = slots["page"] = self.rng.choice([k for k in self.lex.pages if self.orders["page_" + k]])
        return self.pick(self.orders["page_" + page])

    def slot_open_free(self, slots):
        page = slots["page"] = self.rng.choice([k for k in self.lex.pages if self.free["page_" + k]])
        return self.pick(self.free["page_" + page])

    # ---- slots that are copied; a determiner in front is not part of them ----

    def slot_name(self, slots):
        return self.someone("name")

    def slot_to(self, slots):
        return self.someone("to")

    def someone(self, key):
        rng = self.rng
        if key == "name" and rng.random() < 0.09:
            business = rng.choice(self.lex.businesses)
            lead, rest = ("the ", business[4:]) if business.startswith("the ") else ("", business)
            return lead + noise.copied(key, rest)
        if key == "name" and rng.random() < 0.03:
            return noise.copied(key, rng.choice(("911", "112", "999", self.lex.phone(rng))))
        person = self.lex.person(rng)
        lead = "my " if person.split()[0] in self.lex.relations and rng.random() < 0.5 else ""
        return lead + noise.copied(key, person)

    def slot_text(self, slots):
        return noise.copied("text", self.message())

    def slot_qtext(self, slots):
        quote = self.rng.choice(("", "", "", '""', "''", "\u201c\u201d"))
        text = noise.copied("text", self.message())
        return quote[:1] + text + quote[1:]

    def slot_qclause(self, slots):
        return noise.copied("text", self.pick(self.questions))

    def slot_wish(self, slots):
        return noise.copied("text", self.pick(self.wishes))

    def message(self):
        if self.rng.random() < 0.03:
            return noise.plain(self.expand(self.rng.choice(self.orders[self.rng.choice(self.negatable)]), {}))
        text = self.pick(self.messages).strip()
        r = self.rng.random()
        if r < 0.12:
            joint = self.rng.choice((", ", " and ", ". ", "? ", "! ", " because ", " but ", " so ", " "))
            text += joint + self.pick(self.messages).strip()
        elif r < 0.15:
            text += " " + self.rng.choice(self.lex.emoji)
        if self.rng.random() < 0.3:
            text = noise.capitalise(text)
        return text

    def slot_query(self, slots):
        place = self.lex.place(self.rng)
        lead = ""
        if place.split()[0] in ("nearest", "closest", "next", "best"):
            lead = "the "
        elif place[0].islower() or place in self.lex.landmarks:
            lead = self.rng.choice(("the ", "the ", ""))
        return lead + noise.copied("query", place)

    def slot_a_query(self, slots):
        return self.rng.choice(("a ", "a ", "any ")) + noise.copied("query", self.rng.choice(self.lex.kinds))

    def slot_kind(self, slots):
        return noise.copied("query", self.rng.choice(self.lex.kinds))

    def slot_kinds(self, slots):
        """Several places of a kind."""
        kind = self.rng.choice(self.lex.kinds)
        if self.rng.random() < 0.4:
            kind = self.rng.choice(("good", "cheap", "vegan", "italian", "open", "indian", "quiet", "free", "new", "best")) + " " + kind
        plural = kind[:-1] + "ies" if kind.endswith("y") and kind[-2] not in "aeiou" else kind + ("" if kind.endswith("s") else "s")
        return noise.copied("query", plural)

    def slot_food(self, slots):
        return self.rng.choice(("pasta", "rice", "cake", "pizza", "tea", "bread", "chicken", "roast", "soup", "lasagna", "potatoes", "cookies",
                                "pie", "stew", "steak", "casserole", "dough", "beans", "turkey", "coffee"))

    def slot_when_bare(self, slots):
        return self.slot_when(slots).removeprefix("on ").removeprefix("for ")

    def slot_title(self, slots):
        return self.rng.choice(("", "", "", "", "", "my ", "the ")) + noise.copied("title", self.lex.event(self.rng))

    def slot_a_title(self, slots):
        title = self.lex.event(self.rng)
        article = "an " if title[0] in "aeiouAEIO" else "a "
        return self.rng.choice((article, article, article, "", "my ", "the ", "another ")) + noise.copied("title", title)

    def slot_label(self, slots):
        if self.rng.random() < 0.2:
            label = self.lex.words(self.rng, 1, 3)
        elif self.rng.random() < 0.15:
            label = self.lex.event(self.rng)
        else:
            label = self.rng.choice(self.lex.labels)
        quote = self.rng.choice(("", "", "", "", "", '"', "'"))
        return quote + noise.copied("label", label) + quote

    def slot_task(self, slots):
        r = self.rng.random()
        if r < 0.6:
            task = self.rng.choice(self.lex.tasks)
        elif r < 0.75:
            task = self.rng.choice(("call ", "text ", "meet ", "pick up ", "visit ")) + self.lex.person(self.rng)
        elif r < 0.9:
            task = self.rng.choice(("buy ", "check the ", "fix the ", "bring the ", "clean the ", "return the ")) + self.rng.choice(self.lex.things)
        else:
            task = self.lex.words(self.rng, 2, 5)
        return noise.copied("label", task)

    def slot_phone(self, slots):
        return noise.copied("phone", self.lex.phone(self.rng))

    # ---- fillers inside message texts and refusals ----

    def slot_person(self, slots):
        return self.lex.person(self.rng)

    def slot_relation(self, slots):
        return self.rng.choice(self.lex.relations)

    def slot_place(self, slots):
        place = self.lex.place(self.rng)
        return ("the " if place[0].islower() else "") + place

    def slot_city(self, slots):
        return self.rng.choice(self.lex.cities) if self.rng.random() < 0.6 else self.lex.made_word(self.rng, True)

    def slot_keyword(self, slots):
        return self.rng.choice(self.lex.keywords)

    def slot_event(self, slots):
        return self.lex.event(self.rng)

    def slot_thing(self, slots):
        return self.rng.choice(self.lex.things) if self.rng.random() < 0.9 else self.lex.made_word(self.rng, False)

    def slot_room(self, slots):
        return self.rng.choice(self.lex.rooms)

    def slot_word(self, slots):
        return self.lex.words(self.rng, 1, 1)

    def slot_words(self, slots):
        return self.lex.words(self.rng, 1, self.rng.choice((3, 5, 8)))

    def slot_num(self, slots):
        return values.number(self.rng, self.rng.choice((self.rng.randint(1, 12), self.rng.randrange(5, 100, 5), self.rng.randint(1, 500))))

    def slot_day(self, slots):
        return values.plain_day(self.rng)[0]

    def slot_clocktime(self, slots):
        return values.time_of_day(self.rng, "event")[0]

    # ---- whole requests ----

    def slot_light(self, slots):
        return self.pick(self.orders["light"])

    def refusal(self):
        text = self.pick(self.refusals)
        if self.rng.random() < 0.25 and text.strip():
            text = self.pick(self.free_openers + self.openers[:12]) + " " + text
        if self.rng.random() < 0.1 and text.strip():
            text = close(text, self.pick(self.closers))
        return text

    def negated(self):
        intent = self.rng.choice(self.negatable)
        order = self.pick(self.orders[intent])
        while order.startswith(("don't", "stop", "never")):
            order = self.pick(self.orders[intent])
        if intent != "message" and self.rng.random() < 0.2:
            return noise.plain(close(order, self.pick(self.taken_back)))
        return noise.plain(self.pick(self.negations) + " " + order)

    def intent(self, intent):
        """A wording of one intent with its copied parts still marked, and the computed values."""
        slots = dict(FIXED.get(intent, {}))
        rng = self.rng
        whole = bool(self.free[intent]) and (rng.random() < 0.32 or not self.orders[intent])
        text = self.pick((self.free if whole else self.orders)[intent], slots)
        if rng.random() < (0.16 if whole else 0.45):
            text = self.pick(self.free_openers if whole else self.openers) + " " + text
        if rng.random() < 0.06:
            text = self.pick(self.before) + " " + text
        open_ended = intent == "message" and text.endswith((noise.CLOSE, "'", '"', "\u201d"))
        r = rng.random()
        if not open_ended and r < 0.13:
            text = close(text, self.pick(self.closers))
        elif not open_ended and r < 0.17 and intent not in ("event", "alarm_label"):
            text = close(text, self.pick(self.after))
        return text, slots

    def example(self):
        """One request and its call."""
        rng = self.rng
        intent = rng.choices(self.names, self.weights)[0]
        function = INTENTS[intent][0]
        slots = {}
        if intent == "refusal":
            text = self.refusal()
        elif intent == "negated":
            text = self.negated()
        else:
            text, slots = self.intent(intent)
        request, copies = noise.finish(rng, text)
        slots.update(copies)
        arguments = {k: slots[k] for k in PARAMETERS[function] if k in slots}
        return {"request": request, "call": {"name": function, "arguments": arguments}}


def close(text, tail):
    """Append words that follow a request."""
    return text + ("" if tail[0] in ",." else " ") + tail


def call_line(call):
    """The one line that answers a request."""
    return json.dumps(call, ensure_ascii=False, separators=(",", ":"))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--split", choices=("train", "test"), default="train")
    ap.add_argument("--n", type=int, default=1000)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    generator = Generator(a.split, a.seed)
    for _ in range(a.n):
        print(call_line(generator.example()))


if __name__ == "__main__":
    main()
