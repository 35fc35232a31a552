"""What the scheduler is given and what it answers: snapshot in, plan out.

Frozen values only; they decide nothing. Ids are opaque; times are aware UTC.
"""

from scheduler.model.chips import ANY as ANY
from scheduler.model.chips import WHOLE as WHOLE
from scheduler.model.chips import Chip as Chip
from scheduler.model.chips import ChipId as ChipId
from scheduler.model.chips import Closed as Closed
from scheduler.model.chips import HostShare as HostShare
from scheduler.model.chips import Node as Node
from scheduler.model.chips import NodeId as NodeId
from scheduler.model.gangs import TASK_CORES_MILLI as TASK_CORES_MILLI
from scheduler.model.gangs import TASK_MEMORY_BYTES as TASK_MEMORY_BYTES
from scheduler.model.gangs import Gang as Gang
from scheduler.model.gangs import GangId as GangId
from scheduler.model.gangs import JobId as JobId
from scheduler.model.gangs import JobType as JobType
from scheduler.model.gangs import MemberRequest as MemberRequest
from scheduler.model.gangs import Queue as Queue
from scheduler.model.gangs import RunningGang as RunningGang
from scheduler.model.gangs import Snapshot as Snapshot
from scheduler.model.gangs import Work as Work
from scheduler.model.plans import Action as Action
from scheduler.model.plans import Code as Code
from scheduler.model.plans import Hold as Hold
from scheduler.model.plans import LimitHit as LimitHit
from scheduler.model.plans import Outranked as Outranked
from scheduler.model.plans import Place as Place
from scheduler.model.plans import Plan as Plan
from scheduler.model.plans import Preempt as Preempt
from scheduler.model.plans import Seat as Seat
from scheduler.model.speeds import Rate as Rate
from scheduler.model.speeds import Speeds as Speeds
