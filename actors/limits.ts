import type { Limits, LimitsEvent } from '../events/limits.ts';
import { jsonEquals } from '../events/merge-patch.ts';
import type { Decider } from './decider.ts';

/** The limits as they were set last. */
export type LimitsRecord = { readonly limits: Limits; readonly version: number; readonly updatedAt: string };

/** Null while nobody has set any. */
export type LimitsState = LimitsRecord | null;

/** What can be done about the limits. */
export type LimitsCommand = { readonly type: 'set'; readonly limits: Limits };

/** Limits are set as a whole; setting what is set already changes nothing. */
export const limitsDecider: Decider<LimitsState, LimitsCommand, LimitsEvent> = {
  initialState: null,
  decide({ limits }, state) {
    return state !== null && jsonEquals(state.limits, limits) ? [] : [{ type: 'limits_changed', data: { limits } }];
  },
  evolve(_state, { data, version, time }) {
    return { limits: data.limits, version, updatedAt: time };
  },
};
