/**
 * The first administrator, to whom the bootstrap key belongs. The one actor whose id does not check itself: it is
 * written in configurations, not copied from answers.
 */
export const BOOTSTRAP_ACTOR = 'act_00000000000000000000000000';
