"""The process groups of a launch: one for the jobs, one to agree on what to do next."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store
    from torch.distributed import ProcessGroup

_UNTIL_THE_LEADER_HAS_A_JOB = timedelta(days=14)  # planning and writing a report is done by the leader alone
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class RankGroups:
    """Talks to the other ranks; the default process group is left to the jobs.

    Args:
        timeout: How long a rank waits for another in the default process group, if that is made here.

    Attributes:
        rank: This process.

    Raises:
        ValueError: if no process group exists and the environment variables of a launch are missing.
    """

    def __init__(self, timeout: timedelta) -> None:
        import torch.distributed as dist  # noqa: PLC0415
        from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415

        self._timeout = timeout
        self._store: Store | None = None
        self._attempt = 0
        if not dist.is_initialized():
            missing = [name for name in _VARIABLES if name not in os.environ]
            if missing:
                raise ValueError(
                    f"environment variable {missing[0]} is not set, expected a launch by torchrun: "
                    "torchrun --nproc-per-node 2 -m counterpoint ..."
                )
            self._store, _, _ = next(iter(rendezvous("env://", timeout=timeout)))
            self._join()
        self._control = self._new_control()
        self.rank = dist.get_rank()

    def from_leader(self, words: Any) -> Any:
        """What rank 0 says; the others' own words do not matter."""
        import torch.distributed as dist  # noqa: PLC0415

        box = [words]
        dist.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def from_all(self, words: Any) -> list[Any]:
        """What each rank says, by rank."""
        import torch.distributed as dist  # noqa: PLC0415

        box: list[Any] = [None] * dist.get_world_size(self._control)
        dist.all_gather_object(box, words, group=self._control)
        return box

    def renew(self) -> None:
        """Makes the groups anew; all ranks call this together. A default group of somebody else's stays."""
        if self._store is None:
            return
        self._leave()
        self._join()
        self._control = self._new_control()

    def close(self) -> None:
        """Ends what was made here."""
        import torch.distributed as dist  # noqa: PLC0415

        if self._store is not None:
            self._leave()
        elif dist.is_initialized():
            dist.destroy_process_group(self._control)

    def _join(self) -> None:
        import torch  # noqa: PLC0415
        import torch.distributed as dist  # noqa: PLC0415

        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo",
            store=dist.PrefixStore(f"counterpoint/{self._attempt}", self._store),  # type: ignore[attr-defined, arg-type]
            rank=int(os.environ["RANK"]),
            world_size=int(os.environ["WORLD_SIZE"]),
            timeout=self._timeout,
        )
        self._attempt += 1

    def _leave(self) -> None:
        import torch.distributed as dist  # noqa: PLC0415

        if dist.is_initialized():
            dist.destroy_process_group()

    def _new_control(self) -> ProcessGroup:
        import torch.distributed as dist  # noqa: PLC0415

        group: ProcessGroup = dist.new_group(backend="gloo", timeout=_UNTIL_THE_LEADER_HAS_A_JOB)
        return group
