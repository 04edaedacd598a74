"""/profile: who one is here."""

from __future__ import annotations

from misir.deps import Me, Now, Res, problems, require_same_user
from misir.gate import gated_router
from misir.profile import profile
from misir.profile.schemas import MetadataPatch, Onboarding, Profile, ProfilePatch

router = gated_router(tag="account")


@router.get("/profile", responses=problems())
async def get_profile(me: Me, res: Res) -> Profile:
    """Who one is here; made with defaults when it is read for the first time."""
    return await profile.get_profile(res, me)


@router.patch("/profile", responses=problems(413))
async def patch_profile(me: Me, res: Res, body: ProfilePatch) -> Profile:
    """Merge settings in: objects merge, null goes back to the default, anything else replaces."""
    require_same_user(res, me, body.user_id)
    return await profile.patch_settings(res, me, body.settings)


@router.patch("/profile/metadata", responses=problems(413))
async def patch_metadata(me: Me, res: Res, body: MetadataPatch) -> Profile:
    """Name, picture, and the time zone in which days are counted."""
    require_same_user(res, me, body.user_id)
    return await profile.patch_metadata(res, me, body)


@router.post("/profile/onboard", responses=problems(413))
async def post_onboard(me: Me, res: Res, now: Now, body: Onboarding | None = None) -> Profile:
    """The person has been shown around. The first time counts; later ones change nothing."""
    said = body or Onboarding.model_validate({})
    require_same_user(res, me, said.user_id)
    return await profile.onboard(res, me, said, now)
