import { describe, expect, it } from 'vitest';
import { decideAccess, type Relation, relationToConnection, relationToNewConnection } from '../../actors/access.ts';
import { principalOf } from '../support/principals.ts';

/** Everything that somebody can be to a context. */
const RELATIONS: readonly Relation[] = ['owner', 'editor', 'viewer', 'auditor', 'administrator', 'invited', null];
const ENDS = RELATIONS.flatMap((from) => RELATIONS.map((to) => ({ from, to })));

const caller = principalOf('act_caller');

/** What was promised in words: whoever reads an end sees a connection, whoever changes an end changes it. */
const reads = (relation: Relation) => relation !== null && relation !== 'invited';
const changes = (relation: Relation) => relation === 'owner' || relation === 'editor' || relation === 'administrator';

describe.each(ENDS)('who is $from to where a connection leads from and $to to where it leads', ({ from, to }) => {
  const isSeen = reads(from) || reads(to);
  const verdict = (isAllowed: boolean, isVisible: boolean) =>
    isAllowed ? 'allowed' : isVisible ? 'forbidden' : 'hidden';
  const relation = relationToConnection(from, to);

  it('sees it when they may read one of the two', () => {
    expect(decideAccess(caller, 'connection.read', relation)).toBe(verdict(isSeen, isSeen));
  });

  it('changes and ends it when they may change one of the two', () => {
    const expected = verdict(changes(from) || changes(to), isSeen);
    expect(decideAccess(caller, 'connection.change', relation)).toBe(expected);
    expect(decideAccess(caller, 'connection.disconnect', relation)).toBe(expected);
  });

  it('consents to it when they may change where it leads', () => {
    expect(decideAccess(caller, 'connection.consent', relation)).toBe(verdict(changes(to), isSeen));
  });

  it('asks for it when they may change where it leads from and read where it leads', () => {
    const expected = verdict(changes(from) && reads(to), reads(from) && reads(to));
    expect(decideAccess(caller, 'connection.create', relationToNewConnection(from, to))).toBe(expected);
  });

  it('is never the service itself', () => {
    expect(decideAccess(caller, 'connection.record', relation)).not.toBe('allowed');
  });
});
