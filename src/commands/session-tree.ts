import type { CommandCgroups } from '../process/cgroup.ts';
import { markOf } from '../process/environment.ts';
import { CgroupTree, type Leader, MarkedTree, type ProcessTree } from '../process/tree.ts';
import type { SessionId } from '../sessions/id.ts';

/** The processes of a session: those in its cgroup, where it has one, and those that bear its mark. */
export function treeOfSession(id: SessionId, cgroups: CommandCgroups | undefined, leader?: Leader): ProcessTree {
  if (cgroups === undefined) return new MarkedTree(markOf(id), leader);
  const isElsewhere = (pid: number): boolean => {
    const holder = cgroups.holderOf(pid);
    return holder !== undefined && holder !== id;
  };
  return new CgroupTree(cgroups.of(id), new MarkedTree(markOf(id), leader, isElsewhere));
}
