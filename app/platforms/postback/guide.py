"""Postbacks: one address with the order in its parameters, in the names that the sender's network uses."""

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideStep, trial_step
from app.platforms.postback.presets import preset_of


def guide(connection: Connection) -> Guide:
    """The whole address in the names of the source's preset; the words in braces are the sender's own to fill in."""
    preset = preset_of(connection.settings)
    template = "" if preset is None else preset.template
    return Guide(
        page="docs/connect/postback.md",
        steps=(
            GuideStep(
                "Give the sender this address",
                "With each word in braces replaced by what its system calls that thing (its macro, or a variable of your template), and {token} by "
                "the secret that this source was given. A preset without a secret leaves the token out.",
                GuidePaste("postback address", f"{connection.url}?{template}"),
            ),
            GuideStep(
                "Hand the click id on",
                "The shop keeps the click id that its landing page was opened with and gives it back. What that parameter of the landing page is "
                "called is yours to say: a shop that already keeps a network's click id keeps ours without a change.",
                GuidePaste("PATCH /v1/brand", f'{{"click_param": "{connection.click_param}"}}'),
            ),
            GuideStep(
                "Report refunds",
                "The same address with order_id, a refund_id of its own and the amount; or status=rejected, which takes the whole order back.",
                GuidePaste("behind the order's parameters", "refund_id={refund_id}"),
            ),
            trial_step(connection),
        ),
    )
