# SPDX-License-Identifier: Apache-2.0
"""Spoken forms of times, days, durations and percentages, each with the value that the call carries."""

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
WEEKDAY_SHORT = {"mon": 0, "tue": 1, "tues": 1, "wed": 2, "weds": 2, "thu": 3, "thur": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6}
MONTHS = "january february march april may june july august september october november december".split()
MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
ORDINALS = ("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
            "fifteenth sixteenth seventeenth eighteenth nineteenth").split()


def words(n, joint=" "):
    """A number from 0 to 999 in words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (joint + ONES[n % 10] if n % 10 else "")
    rest = words(n % 100, joint)
    return words(n // 100) + " hundred" + (" and " + rest if n % 100 else "")


def number(rng, n, digits=0.6):
    """A number in digits or words."""
    if rng.random() < digits or n > 999:
        return str(n)
    return words(n, rng.choice(" -"))


def ordinal_digits(n):
    if 10 <= n % 100 <= 20:
        return f"{n}th"
    return str(n) + {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")


def ordinal_words(n, joint):
    if n < 20:
        return ORDINALS[n - 1]
    if n % 10 == 0:
        return TENS[n // 10][:-1] + "ieth"
    return TENS[n // 10] + joint + ORDINALS[n % 10 - 1]


# ---- time of day ----

def hhmm(minutes):
    minutes %= 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def bare_hour(hour, kind):
    """The hour that an hour from 1 to 12 without am or pm means."""
    if hour == 12:
        return 12
    return hour + 12 if kind == "event" and hour <= 6 else hour


def minute_of_hour(rng):
    r = rng.random()
    if r < 0.42:
        return 0
    if r < 0.64:
        return rng.choice((15, 30, 30, 45))
    if r < 0.82:
        return rng.randrange(0, 60, 5)
    return rng.randrange(60)


def relative_clock(rng):
    """A wording such as 'quarter to seven': text, spoken hour, minutes to add to it."""
    hour = rng.randint(1, 12)
    name = number(rng, hour, 0.4)
    r = rng.random()
    if r < 0.3:
        return rng.choice(("half past ", "half past ", "half past ", "half-past ", "half ")) + name, hour, 30
    if r < 0.62:
        quarter = rng.choice(("quarter", "quarter", "a quarter"))
        if rng.random() < 0.5:
            return quarter + rng.choice((" past ", " past ", " after ")) + name, hour, 15
        return quarter + rng.choice((" to ", " to ", " to ", " till ", " before ", " of ")) + name, hour, -15
    m = rng.choice((5, 10, 20, 25, 5, 10, 20, 25, rng.randint(1, 29)))
    text = number(rng, m, 0.4) + (" minutes" if m % 5 or rng.random() < 0.25 else "")
    if m == 1:
        text = "a minute" if rng.random() < 0.5 else "one minute"
    if rng.random() < 0.55:
        return text + rng.choice((" past ", " past ", " after ")) + name, hour, m
    return text + rng.choice((" to ", " to ", " till ", " before ", " til ")) + name, hour, -m


def spoken_minutes(rng, m):
    if m < 10:
        return rng.choice(("oh ", "o ", "zero ")) + ONES[m]
    return words(m, rng.choice("  -"))


def direct_clock(rng, compact):
    """Hour and minutes as '7:30', 'seven thirty', '7', 'seven o'clock': text, spoken hour, minutes to add."""
    hour, m = rng.randint(1, 12), minute_of_hour(rng)
    in_words = rng.random() < 0.33
    if m == 0:
        r = rng.random()
        if in_words:
            text = ONES[hour]
        elif r < 0.12:
            text = f"{hour}:00"
        else:
            text = str(hour)
        if not compact and ":" not in text and rng.random() < 0.25:
            text += rng.choice((" o'clock", " o'clock", " oclock", " o clock"))
        return text, hour, 0
    if in_words:
        return ONES[hour] + rng.choice("   -") + spoken_minutes(rng, m), hour, m
    style = rng.random()
    if style < 0.72:
        return f"{hour}:{m:02d}", hour, m
    if style < 0.82:
        return f"{hour}.{m:02d}", hour, m
    if style < 0.91:
        return f"{hour} {m:02d}", hour, m
    return f"{hour}{m:02d}", hour, m


def clock_24(rng):
    """Times that are unambiguous by themselves: '18:30', '0700', 'noon'."""
    r = rng.random()
    if r < 0.25:
        word = rng.choice(("noon", "noon", "midday", "midnight", "midnight", "12 noon", "12 midnight", "twelve noon"))
        minutes = 0 if "midnight" in word else 720
        s = rng.random()
        if s < 0.06:
            return "half past " + word.split()[-1], hhmm(minutes + 30)
        if s < 0.14:
            return "quarter to " + word.split()[-1], hhmm(minutes - 15)
        if s < 0.18:
            m = rng.choice((5, 10, 20))
            return number(rng, m) + rng.choice((" to ", " past ")) + word.split()[-1], None, m, minutes
        return word, hhmm(minutes)
    m = minute_of_hour(rng)
    if r < 0.62:
        h = rng.randint(13, 23)
        return rng.choice((f"{h}:{m:02d}", f"{h}:{m:02d}", f"{h}{m:02d}", f"{h}{m:02d}", f"{h}.{m:02d}", f"{h}h{m:02d}",
                           f"{h}:{m:02d}h", f"{h} {m:02d}", f"{h}{m:02d} hours", f"{h}:{m:02d} hours")), hhmm(h * 60 + m)
    if r < 0.70:
        h = rng.randint(13, 23)
        tail = " hundred" if m == 0 else " " + spoken_minutes(rng, m)
        return words(h) + tail + rng.choice(("", " hours")), hhmm(h * 60 + m)
    h = rng.choice((0, 0, 7, 8, 9, 10, 11, 6, 5, 4, 7, 8))
    if h in (4, 5, 6, 10, 11) or r < 0.8:
        return rng.choice((f"{h:02d}{m:02d}", f"{h:02d}{m:02d} hours")), hhmm(h * 60 + m)
    return rng.choice((f"{h:02d}:{m:02d}", f"{h:02d}{m:02d}", f"{h:02d}:{m:02d}h")), hhmm(h * 60 + m)


def part_for(rng, hour):
    """A part of the day that suits an hour on the 12-hour clock, and the hour of the day it makes."""
    morning, noon, evening, night = ("morning", hour), ("afternoon", hour % 12 + 12), ("evening", hour + 12), ("night", hour + 12)
    if hour == 12:
        return rng.choice((noon, ("night", 0)))
    if hour <= 3:
        return rng.choice((noon, noon, morning))
    if hour <= 5:
        return rng.choice((noon, noon, evening, morning))
    if hour <= 6:
        return rng.choice((morning, evening, evening, noon))
    if hour == 7:
        return rng.choice((morning, morning, evening, evening, night))
    if hour <= 9:
        return rng.choice((morning, morning, evening, night))
    return rng.choice((morning, morning, night, night, evening))


def fixed_clock(rng):
    made = clock_24(rng)
    if len(made) == 2:
        return made
    text, _, m, base = made
    return text, hhmm(base - m if " to " in text else base + m)


def clock_with_hour(rng):
    """Text of a 12-hour clock time, its spoken hour, minutes to add, and whether am/pm may touch it."""
    if rng.random() < 0.3:
        return relative_clock(rng) + (False,)
    text, hour, add = direct_clock(rng, False)
    return text, hour, add, text[-1].isdigit()


def meridiem(rng, text, touching, pm):
    letter = "p" if pm else "a"
    forms = ["Xm", "Xm", "Xm", "Xm", "X.m.", "XM"] + (["X"] if text[-1].isdigit() else [])
    mark = rng.choice(forms).replace("X", letter)
    if mark.endswith("M"):
        mark = mark.upper()
    joint = "" if touching and rng.random() < 0.55 else " "
    return text + joint + mark


def time_of_day(rng, kind):
    """A time standing by itself: text, HH:MM. The kind is alarm or event and decides bare hours."""
    r = rng.random()
    if r < 0.17:
        return fixed_clock(rng)
    text, hour, add, touching = clock_with_hour(rng)
    if r < 0.50:
        return text, hhmm(bare_hour(hour, kind) * 60 + add)
    if r < 0.80:
        pm = rng.random() < 0.5
        if "clock" in text:
            touching = False
        return meridiem(rng, text, touching, pm), hhmm((hour % 12 + 12 * pm) * 60 + add)
    part, hour24 = part_for(rng, hour)
    tail = " at night" if part == "night" else rng.choice((f" in the {part}", f" in the {part}", f" in the {part}", f" {part}"))
    return text + tail, hhmm(hour24 * 60 + add)


# ---- days ----

def plain_day(rng):
    """A day without a part of it: wording (no preposition), value, needs-on."""
    r = rng.random()
    if r < 0.10:
        return "today", "today", False
    if r < 0.33:
        return rng.choice(("tomorrow", "tomorrow", "tomorrow", "tmrw", "tomorow", "tommorow", "tmr")), "tomorrow", False
    if r < 0.70:
        if rng.random() < 0.15:
            word = rng.choice(list(WEEKDAY_SHORT))
            return word, WEEKDAYS[WEEKDAY_SHORT[word]], True
        day = rng.choice(WEEKDAYS)
        shown = day.capitalize() if rng.random() < 0.5 else day
        s = rng.random()
        if s < 0.25:
            return rng.choice(("next ", "next ", "this ", "this coming ", "coming ")) + shown, day, False
        return shown, day, True
    return calendar_date(rng) + (True,)


def calendar_date(rng):
    month = rng.randrange(12)
    day = rng.randint(1, MONTH_DAYS[month])
    name = MONTHS[month]
    if rng.random() < 0.25 and name not in ("may", "june", "july"):
        name = rng.choice((name[:3], name[:3] + ".", "sept" if month == 8 else name[:3]))
    if rng.random() < 0.5:
        name = name.capitalize()
    number_text = rng.choice((ordinal_digits(day), ordinal_digits(day), ordinal_words(day, rng.choice(" -")), str(day)))
    if rng.random() < 0.62:
        joint = " the " if not number_text.isdigit() and rng.random() < 0.15 else " "
        text = name + joint + number_text
    else:
        text = rng.choice(("the ", "the ", "")) + number_text + (" of " if not number_text.isdigit() else " ") + name
    return text, f"{month + 1:02d}-{day:02d}"


def day_phrase(rng):
    """A day with its preposition: text, value."""
    text, value, needs_on = plain_day(rng)
    if value[0].isdigit() and text.startswith("the ") or needs_on and rng.random() < 0.8:
        text = rng.choice(("on ", "on ", "on ", "for ")) + text
    elif rng.random() < 0.15:
        text = "for " + text
    return text, value


def part_of_day_phrase(rng):
    """A day joined with a part of it, as 'tomorrow morning': text, day value, part."""
    part = rng.choice(("morning", "afternoon", "evening", "night"))
    r = rng.random()
    if r < 0.35:
        if part == "night" or rng.random() < 0.3:
            return rng.choice(("tonight", "tonight", "tonite", "later tonight")), "today", "night"
        return "this " + part, "today", part
    text, value, needs_on = plain_day(rng)
    if value == "today" or value[0].isdigit():
        text, value, needs_on = "tomorrow", "tomorrow", False
    text = text + " " + part
    if rng.random() < 0.2:
        text = text[:-len(part)] + ("at night" if part == "night" else "in the " + part)
    return ("on " + text if needs_on and rng.random() < 0.75 else text), value, part


PART_HOURS = {"morning": (5, 6, 7, 8, 9, 10, 11, 7, 8, 9, 4), "afternoon": (12, 1, 2, 3, 4, 5, 2, 3), "evening": (5, 6, 7, 8, 9, 6, 7),
              "night": (6, 7, 8, 9, 10, 11, 8, 9)}


def clock_in_part(rng, part):
    """A time that leans on a part of the day said elsewhere: text, HH:MM."""
    while True:
        text, hour, add, touching = clock_with_hour(rng)
        if hour in PART_HOURS[part]:
            break
    hour24 = hour if part == "morning" else hour % 12 + 12
    if rng.random() < 0.12:
        text = meridiem(rng, text, touching and "clock" not in text, part != "morning")
    return text, hhmm(hour24 * 60 + add)


AT = ("at ", "at ", "at ", "at ", "at ", "at ", "for ", "", "", "@ ", "around ")


def when(rng, kind):
    """Day and time of an event in one phrase: text, day, HH:MM or None."""
    r = rng.random()
    if r < 0.20:
        text, day = day_phrase(rng)
        return text, day, None
    if r < 0.26:
        text, day, _ = part_of_day_phrase(rng)
        return text, day, None
    if r < 0.50:
        day_text, day, part = part_of_day_phrase(rng)
        clock, time = clock_in_part(rng, part)
    else:
        day_text, day = day_phrase(rng)
        clock, time = time_of_day(rng, kind)
    if rng.random() < 0.72:
        joint = rng.choice((" ", " ", " ", " ", ", "))
        return day_text + joint + rng.choice(AT) + clock, day, time
    return rng.choice(("at ", "at ", "at ", "for ")) + clock + rng.choice((" ", " ", ", ")) + day_text, day, time


def alarm_time(rng):
    """When an alarm rings, sometimes with a day that the call does not carry: text, HH:MM."""
    r = rng.random()
    lead = rng.choice(("at ", "at ", "at ", "at ", "for ", "for ", "for ", "by ", "around ", "@ ", "at exactly ", "for around "))
    if r < 0.66:
        text, time = time_of_day(rng, "alarm")
        return lead + text, time
    if r < 0.70:
        part = rng.choice(("morning", "morning", "evening", "afternoon"))
        clock, time = clock_in_part(rng, part)
        return f"in the {part} " + lead + clock, time
    if r < 0.90:
        day_text, day, part = part_of_day_phrase(rng)
        clock, time = clock_in_part(rng, part)
    else:
        day_text, day = day_phrase(rng)
        clock, time = time_of_day(rng, "alarm")
    if rng.random() < 0.5:
        return day_text + rng.choice((" at ", " at ", " at ", " for ", " ")) + clock, time
    return lead + clock + " " + day_text, time


# ---- durations ----

UNITS = {"second": (1, ("second", "second", "sec", "s")), "minute": (60, ("minute", "minute", "minute", "min", "m")),
         "hour": (3600, ("hour", "hour", "hour", "hr", "h"))}


def unit_text(rng, unit, n, glued=False):
    word = rng.choice(UNITS[unit][1])
    if len(word) > 1 and n != 1 and not glued and rng.random() < 0.93:
        word += "s"
    return word


def count_text(rng, n, unit):
    if n == 1 and rng.random() < 0.4:
        word = "an" if unit == "hour" else "a"
        return f"{word} {unit}", 1
    text = number(rng, n)
    word = unit_text(rng, unit, n)
    joint = " " if text.isalpha() or "-" in text or " " in text else rng.choice((" ", " ", " ", ""))
    if len(word) == 1:
        joint = "" if text.isdigit() else " "
        word = word if text.isdigit() else unit + ("s" if n > 1 else "")
    return text + joint + word, n


def whole_number(rng, unit):
    if unit == "hour":
        return rng.choice((1, 2, 3, 4, 5, 6, 8, 10, 12, rng.randint(1, 24)))
    if unit == "minute":
        return rng.choice((rng.randint(1, 20), rng.randrange(5, 65, 5), rng.randint(1, 60), rng.randint(1, 120)))
    return rng.choice((rng.randrange(5, 100, 5), rng.randint(1, 60), rng.randint(1, 120), rng.randrange(10, 310, 10)))


def simple_duration(rng):
    unit = rng.choice(("minute", "minute", "minute", "minute", "hour", "second", "second"))
    n = whole_number(rng, unit)
    text, _ = count_text(rng, n, unit)
    return text, n * UNITS[unit][0]


def fraction_duration(rng):
    """Halves and quarters."""
    r = rng.random()
    if r < 0.16:
        return rng.choice(("half an hour", "half an hour", "half hour", "a half hour", "one half hour", "half a hour", "0.5 hours")), 1800
    if r < 0.24:
        return rng.choice(("a quarter of an hour", "quarter of an hour", "a quarter hour", "quarter hour")), 900
    if r < 0.31:
        return rng.choice(("three quarters of an hour", "three quarters of an hour", "3/4 of an hour", "three quarter hours")), 2700
    if r < 0.34:
        return rng.choice(("half a minute", "half minute", "a half minute")), 30
    unit = rng.choice(("hour", "hour", "minute"))
    scale = UNITS[unit][0]
    n = rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12))
    s = rng.random()
    if s < 0.35:
        one = rng.choice((f"{'an' if unit == 'hour' else 'a'} {unit} and a half", f"one and a half {unit}s", f"one {unit} and a half",
                          f"1 and a half {unit}s", f"{unit} and a half"))
        many = rng.choice((f"{number(rng, n, 0.4)} and a half {unit}s", f"{number(rng, n, 0.4)} {unit}s and a half"))
        return (one if n == 1 else many), n * scale + scale // 2
    if s < 0.6:
        half = rng.choice((" and a half", " and a half", " and a half", " 1/2"))
        lead = str(n) if "/" in half else number(rng, n, 0.4)
        return f"{lead}{half} {unit}s", n * scale + scale // 2
    if s < 0.85:
        return f"{n}.5" + rng.choice((" ", " ", "")) + rng.choice((unit + "s", unit + "s", {"hour": "hrs", "minute": "mins"}[unit])), \
            n * scale + scale // 2
    if s < 0.93:
        return (f"{'an' if unit == 'hour' else 'a'} {unit} and a quarter" if n == 1 else f"{number(rng, n)} and a quarter {unit}s"), \
            n * scale + scale // 4
    return f"{number(rng, n)} and three quarter {unit}s", n * scale + scale * 3 // 4


def compound_duration(rng):
    """Two or three units together."""
    r = rng.random()
    joint = rng.choice((" and ", " and ", " ", " ", ", "))
    if r < 0.06:
        h, m = rng.choice((1, 1, 1, 2, 3)), rng.choice((rng.randrange(5, 60, 5), rng.randint(10, 59)))
        unit, scale = rng.choice((("hour", 60), ("hour", 60), ("minute", 1)))
        lead = rng.choice(("an hour" if unit == "hour" else "a minute", f"one {unit}")) if h == 1 else f"{number(rng, h, 0.3)} {unit}s"
        return lead + rng.choice((" ", " ", " and ")) + number(rng, m, 0.4), (h * 60 + m) * scale
    if r < 0.6:
        h, m = rng.choice((1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 10, 12)), rng.choice((rng.randrange(5, 60, 5), rng.randint(1, 59)))
        if rng.random() < 0.1:
            return f"{h}h{m}" + rng.choice(("m", "min", "")), h * 3600 + m * 60
        return count_text(rng, h, "hour")[0] + joint + count_text(rng, m, "minute")[0], h * 3600 + m * 60
    if r < 0.93:
        m, s = rng.choice((rng.randint(1, 10), rng.randint(1, 10), rng.randint(1, 30))), rng.choice((rng.randrange(5, 60, 5), 30, rng.randint(1, 59)))
        if rng.random() < 0.08:
            return f"{m}m{s}s", m * 60 + s
        return count_text(rng, m, "minute")[0] + joint + count_text(rng, s, "second")[0], m * 60 + s
    h, m, s = rng.randint(1, 5), rng.randrange(5, 60, 5), rng.randrange(5, 60, 5)
    last = rng.choice((" and ", " and ", " ", ", "))
    return count_text(rng, h, "hour")[0] + joint.replace(" and ", " ") + count_text(rng, m, "minute")[0] + last + \
        count_text(rng, s, "second")[0], h * 3600 + m * 60 + s


def duration(rng):
    """A length of time: text, seconds."""
    r = rng.random()
    if r < 0.58:
        return simple_duration(rng)
    if r < 0.76:
        return fraction_duration(rng)
    if r < 0.94:
        return compound_duration(rng)
    return rng.choice((("a couple of minutes", 120), ("a couple minutes", 120), ("a minute", 60), ("an hour", 3600), ("one minute", 60),
                       ("a dozen minutes", 720), ("a hundred seconds", 100), ("a day", 86400), ("24 hours", 86400), ("ninety seconds", 90),
                       ("a couple of hours", 7200), ("sixty seconds", 60), ("one hour", 3600), ("two hours", 7200)))


def duration_adjective(rng):
    """The form before a noun, as '10 minute' or 'two-hour': text, seconds."""
    r = rng.random()
    if r < 0.15:
        return rng.choice((("half hour", 1800), ("half-hour", 1800), ("quarter hour", 900), ("hour", 3600), ("hour and a half", 5400)))
    if r < 0.3:
        unit, n = rng.choice(("hour", "minute")), rng.choice((1, 2, 3, 4, 5))
        return f"{number(rng, n, 0.4)} and a half {unit}", n * UNITS[unit][0] + UNITS[unit][0] // 2
    unit = rng.choice(("minute", "minute", "minute", "hour", "second"))
    n = whole_number(rng, unit)
    text = number(rng, n)
    return text + rng.choice((" ", " ", "-")) + rng.choice((unit, unit, unit, {"minute": "min", "hour": "hr", "second": "sec"}[unit])), \
        n * UNITS[unit][0]


# ---- percent ----

def percent_number(rng):
    return rng.choice((rng.randrange(0, 105, 5), rng.randrange(10, 100, 10), rng.randint(0, 100), rng.randint(1, 100)))


def percent(rng):
    """A share that stands behind 'to' or 'at': text, value."""
    r = rng.random()
    if r < 0.74:
        n = percent_number(rng)
        text = number(rng, n, 0.65)
        mark = rng.choice(("", "", "%", "%", " percent", " percent", " per cent", " %", " pct"))
        if not text.isdigit() and "%" in mark:
            mark = " percent"
        return text + mark, n
    return rng.choice((("half", 50), ("half", 50), ("halfway", 50), ("one half", 50), ("max", 100), ("max", 100), ("maximum", 100),
                       ("the max", 100), ("the maximum", 100), ("full", 100), ("full blast", 100), ("a quarter", 25), ("one quarter", 25),
                       ("three quarters", 75), ("zero", 0), ("a hundred", 100), ("one hundred percent", 100), ("a hundred percent", 100),
                       ("fifty fifty", 50), ("the highest", 100), ("minimum", 0), ("nothing", 0), ("the top", 100), ("mute", 0)))
