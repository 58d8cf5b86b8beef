# SPDX-License-Identifier: Apache-2.0
"""Makers of copied strings: names, places, titles, message texts, phone numbers. The words are in wordings/words.txt."""
import os
import zlib

ONSETS = "b br c ch d dr f fl g gr h j k kh kr l m n p pr qu r s sh sk st t th tr v w y z zh".split()
VOWELS = "a e i o u ai ea ee ia io oo ou".split()
CODAS = "n r s l m t k d x th ng nd rt sh".split() + [""] * 8

WORDINGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wordings")


def read_sections(name, bars=False):
    """Sections of a wordings file: name -> lines, or with bars the entries between them."""
    sections = {}
    with open(os.path.join(WORDINGS, name), encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line.startswith("== "):
                current = sections.setdefault(line[3:], [])
            elif line and not line.startswith("#"):
                current.extend(line.split("|") if bars else [line])
    return sections


def is_held_out(text, one_in):
    """Whether this template or word belongs to the test split; fixed by its own spelling."""
    return zlib.crc32(text.encode()) % one_in == 0


class Lexicon:
    """One side of the split: entries whose hash falls on the other side are never drawn."""

    def __init__(self, split):
        self.split = split
        words = read_sections("words.txt", bars=True)
        self.common = words["common_words"]
        self.honorifics, self.streets, self.event_with = words["honorifics"], words["streets"], words["event_with"]
        self.things, self.rooms, self.keywords, self.emoji = (words[k] for k in ("things", "rooms", "keywords", "emoji"))
        self.pages = {k[5:]: v for k, v in words.items() if k.startswith("page_")}
        self.first, self.accented, self.scripts, self.surnames, self.relations, self.businesses = (
            self.keep(words[k]) for k in ("first_names", "accented_names", "names_in_other_scripts", "surnames", "relations", "businesses"))
        self.cities, self.landmarks, self.kinds, self.street_names = (
            self.keep(words[k]) for k in ("cities", "landmarks", "place_kinds", "street_names"))
        self.events, self.labels, self.tasks = (self.keep(words[k]) for k in ("events", "labels", "tasks"))

    def keep(self, items):
        held_out = self.split == "test"
        return [s for s in dict.fromkeys(items) if is_held_out(s, 8) == held_out]

    def made_word(self, rng, capital):
        word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
                       for _ in range(rng.choice((1, 2, 2, 2, 3, 3))))
        return word.capitalize() if capital else word

    def odd_word(self, rng):
        letters = "abcdefghijklmnopqrstuvwxyz"
        if rng.random() < 0.3:
            letters += "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        return "".join(rng.choice(letters) for _ in range(rng.randint(2, 9)))

    def given_name(self, rng):
        r = rng.random()
        if r < 0.58:
            return rng.choice(self.first)
        if r < 0.66:
            return rng.choice(self.accented)
        if r < 0.68:
            return rng.choice(self.scripts)
        if r < 0.97:
            return self.made_word(rng, True)
        return self.odd_word(rng)

    def surname(self, rng):
        r = rng.random()
        if r < 0.5:
            return rng.choice(self.surnames)
        if r < 0.57:
            return rng.choice(self.accented)
        if r < 0.62:
            return rng.choice(("van der ", "de la ", "von ", "al-", "O'", "Mc", "bin ", "Di ", "St. ")) + self.made_word(rng, True)
        if r < 0.66:
            return rng.choice(self.surnames) + "-" + rng.choice(self.surnames)
        return self.made_word(rng, True)

    def person(self, rng):
        """A person as one says it in a request: name, relation, title and surname."""
        r = rng.random()
        if r < 0.40:
            return self.given_name(rng)
        if r < 0.66:
            return self.given_name(rng) + " " + self.surname(rng)
        if r < 0.80:
            return rng.choice(self.relations)
        if r < 0.90:
            return rng.choice(self.honorifics) + " " + (self.surname(rng) if rng.random() < 0.7 else self.given_name(rng))
        if r < 0.92:
            return self.given_name(rng) + " " + rng.choice(("from work", "from school", "from the gym", "upstairs", "next door",
                                                             "office", "work", "mobile", "cell", "home", "Jr", "the plumber"))
        if r < 0.94:
            return rng.choice(self.relations) + " " + self.given_name(rng)
        if r < 0.96:
            return self.given_name(rng) + "'s " + rng.choice(self.relations)
        if r < 0.97:
            return self.surname(rng) + rng.choice(("s", " family", " household"))
        if r < 0.98:
            return self.given_name(rng) + " " + rng.choice("abcdefghijklmnoprstw").upper() + rng.choice(("", "."))
        if r < 0.985:
            return self.given_name(rng) + " and " + self.given_name(rng)
        return self.given_name(rng) + " " + self.given_name(rng) + (" " + self.surname(rng) if rng.random() < 0.5 else "")

    def companion(self, rng):
        person = self.person(rng)
        return (rng.choice(("my ", "my ", "the ", "")) if person.split()[0] in self.relations else "") + person

    def place(self, rng):
        r = rng.random()
        if r < 0.16:
            return rng.choice(self.cities)
        if r < 0.26:
            return rng.choice(self.landmarks)
        if r < 0.39:
            return rng.choice(self.kinds)
        if r < 0.44:
            return rng.choice(("good", "cheap", "vegan", "24 hour", "italian", "Thai", "indian", "mexican", "quiet", "open", "public", "free", "local",
                               "chinese", "halal", "kosher", "nice", "Ethiopian", "big", "old", "new", "main")) + " " + rng.choice(self.kinds)
        if r < 0.56:
            return rng.choice(("nearest", "closest", "nearest", "next", "best", "nearest open", "nearest good")) + " " + rng.choice(self.kinds)
        if r < 0.70:
            return self.address(rng)
        if r < 0.78:
            return rng.choice(self.kinds) + rng.choice((" in ", " near ", " on ", " at ", " by ", " close to ")) + self.proper_place(rng)
        if r < 0.82:
            return (rng.choice(self.relations) if rng.random() < 0.5 else self.given_name(rng)) + "'s " + rng.choice(
                ("house", "place", "office", "apartment", "flat", "school", "bakery", "diner", "farm"))
        return self.proper_place(rng)

    def proper_place(self, rng):
        r = rng.random()
        if r < 0.3:
            return rng.choice(self.cities)
        if r < 0.4:
            return rng.choice(self.landmarks)
        if r < 0.55:
            return self.made_word(rng, True)
        if r < 0.75:
            return self.made_word(rng, True) + " " + rng.choice(
                ("Park", "Museum", "Station", "Airport", "Hotel", "Mall", "Hospital", "University", "Beach", "Lake", "Castle",
                 "Bridge", "Market", "Village", "Island", "Falls", "Cafe", "Bar", "Grill", "Clinic", "Library", "Tower"))
        if r < 0.85:
            return rng.choice(self.cities) + " " + rng.choice(("Airport", "Zoo", "Cathedral", "Museum", "central station", "airport",
                                                                "old town", "harbour", "city hall", "train station"))
        return rng.choice(("Lake", "Mount", "Fort", "Saint", "New", "Port", "Café", "Hotel", "Villa", "Chez", "Casa")) + " " + \
            self.made_word(rng, True)

    def address(self, rng):
        street = rng.choice(self.street_names) if rng.random() < 0.6 else self.made_word(rng, True)
        if rng.random() < 0.15:
            street = rng.choice(("5th", "42nd", "1st", "22nd", "3rd", "7th", "18th"))
        text = street + " " + rng.choice(self.streets)
        if rng.random() < 0.8:
            text = str(rng.randint(1, 2500)) + rng.choice(("", "", "", "A", "b")) + " " + text
        if rng.random() < 0.25:
            text += rng.choice((", ", " in ", " ")) + rng.choice(self.cities)
        return text

    def event(self, rng):
        r = rng.random()
        if r < 0.42:
            return rng.choice(self.events)
        if r < 0.64:
            return rng.choice(self.event_with) + " with " + self.companion(rng)
        if r < 0.70:
            return self.given_name(rng) + "'s " + rng.choice(("birthday", "party", "wedding", "graduation", "recital", "farewell",
                                                                "concert", "game", "baby shower", "appointment", "visit"))
        if r < 0.76:
            return rng.choice(("flight to ", "trip to ", "train to ", "visit to ", "drive to ", "bus to ")) + rng.choice(self.cities)
        if r < 0.82:
            return rng.choice(self.events) + rng.choice((" at ", " in ")) + rng.choice(
                (self.made_word(rng, True) + "'s", "room " + str(rng.randint(1, 400)), "the " + rng.choice(self.kinds),
                 self.proper_place(rng)))
        if r < 0.85:
            return rng.choice(("pick up ", "buy ", "pay ", "return ", "renew ", "fix ", "call ", "submit ", "order ", "collect ", "send ")) + \
                rng.choice(("", "the ", "the ")) + rng.choice(self.common[60:330])
        if r < 0.89:
            return rng.choice(("pick up ", "visit ", "meet ", "see ", "drop off ", "interview ")) + self.person(rng)
        if r < 0.93:
            return rng.choice(self.common[40:380]) + " " + rng.choice(self.events)
        if r < 0.945:
            return rng.choice(self.relations) + "'s " + rng.choice(("birthday", "appointment", "recital", "party", "surgery", "visit", "game"))
        if r < 0.96:
            return self.made_word(rng, rng.random() < 0.6) + " " + rng.choice(
                ("review", "meeting", "launch", "class", "demo", "sync", "party", "festival", "conference", "lesson"))
        return rng.choice(self.common[40:380]) + " " + rng.choice(self.common[40:380])

    def words(self, rng, low, high):
        """A run of words that means nothing in particular."""
        out = []
        for _ in range(rng.randint(low, high)):
            r = rng.random()
            if r < 0.8:
                out.append(rng.choice(self.common))
            elif r < 0.92:
                out.append(self.made_word(rng, rng.random() < 0.2))
            elif r < 0.96:
                out.append(str(rng.randint(0, 2000)))
            else:
                out.append(self.odd_word(rng))
        return " ".join(out)

    def phone(self, rng):
        def digits(n):
            return "".join(rng.choice("0123456789") for _ in range(n))
        r = rng.random()
        if r < 0.18:
            return digits(3) + "-" + digits(4) if rng.random() < 0.5 else "555-" + digits(4)
        if r < 0.36:
            sep = rng.choice("- .")
            return digits(3) + sep + digits(3) + sep + digits(4)
        if r < 0.44:
            return "(" + digits(3) + ") " + digits(3) + rng.choice("- ") + digits(4)
        if r < 0.60:
            return digits(rng.choice((5, 6, 7, 8, 9, 10, 10, 11)))
        if r < 0.80:
            country = "+" + rng.choice("1 44 49 33 34 39 7 86 91 234 254 380 48 351 61 81 55 27".split())
            return country + rng.choice((" ", " ", "-", "")) + " ".join(digits(rng.choice((2, 3, 3, 4))) for _ in range(rng.randint(2, 4)))
        if r < 0.93:
            return "0" + digits(rng.choice((2, 3, 4))) + rng.choice((" ", "-", "/")) + digits(rng.choice((3, 4, 6))) + \
                rng.choice(("", " " + digits(3), " " + digits(4)))
        names = "zero oh one two three four five six seven eight nine".split()
        return " ".join(rng.choice(names) for _ in range(rng.randint(5, 10)))
