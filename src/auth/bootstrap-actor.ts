/** The first administrator, to whom the bootstrap key belongs. */
export const BOOTSTRAP_ACTOR = 'act_00000000000000000000000000';
