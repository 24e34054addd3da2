"""Who clicks: real user agents, with what a click of theirs must be counted as."""

import random
from dataclasses import dataclass

HUMANS = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "Instagram 401.0.0.28.{build} (iPhone16,2; iOS 18_6; fr_FR; fr; scale=3.00; 1290x2796)",
    "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/141.0.{build}.52 Mobile Safari/537.36 Instagram 400.0.0.49.68 Android",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
    "Chrome/140.0.{build}.34 Mobile Safari/537.36 musical_ly_2023805030 BytedanceWebview/d8a21c6",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
    "[FBAN/FBIOS;FBAV/470.0.0.38.{build};FBBV/604030000;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5;FBSS/3;FBLC/fr_FR]",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
    "Mobile/15E{build} Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.{build}.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{build} Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{build}.0) Gecko/20100101 Firefox/{build}.0",
)
BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "python-requests/2.32.3",
)
PREVIEWS = (
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0 A",
    "TelegramBot (like TwitterBot)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a link, and the class it must be counted in."""

    user_agent: str
    counted_as: str
    method: str = "GET"
    prefetch: bool = False


def draw_human(rng: random.Random) -> str:
    """A real browser with a build number of its own, so that visitors differ."""
    return rng.choice(HUMANS).format(build=rng.randint(100, 9_999))


def draw_visit(rng: random.Random) -> Visit:
    """A request for a link: 86 in a hundred are by people, 5 by bots, 4 by previews, 3 are HEADs and 2 prefetches."""
    number = rng.randrange(100)
    if number < 86:
        return Visit(draw_human(rng), "human")
    if number < 91:
        return Visit(rng.choice(BOTS), "bot")
    if number < 95:
        return Visit(rng.choice(PREVIEWS), "preview")
    if number < 98:
        return Visit(draw_human(rng), "head", method="HEAD")
    return Visit(draw_human(rng), "prefetch", prefetch=True)
