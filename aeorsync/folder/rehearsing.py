"""What a pass tells that changes nothing: what it would have done."""

from aeorsync.folder.events import Act, Planned
from aeorsync.folder.plan import Plan
from aeorsync.folder.work import Work


def rehearse(work: Work, plan: Plan) -> None:
    """Say what would be done."""
    tally = work.tally
    for problem in plan.problems:
        work.trouble(problem.path, problem.why, problem.message)
    for take in plan.take:
        work.report(Planned(take.path, Act.DOWNLOAD, take.told.size))
    for give in plan.give:
        act = Act.CONFLICT if give.is_conflict else Act.UPLOAD
        work.report(Planned(give.path, act, give.here.size))
    for step in plan.remove:
        work.report(Planned(step.path, Act.DELETE_LOCAL))
    for drop in plan.drop:
        work.report(Planned(drop.path, Act.DELETE_REMOTE))
    tally.downloaded += len(plan.take)
    tally.uploaded += len(plan.give)
    tally.deleted_local += len(plan.remove)
    tally.deleted_remote += len(plan.drop)
