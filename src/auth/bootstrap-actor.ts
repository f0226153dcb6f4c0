export { BOOTSTRAP_ACTOR } from '../../events/bootstrap-actor.ts';
