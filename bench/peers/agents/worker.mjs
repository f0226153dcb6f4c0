// The same change as the product's, kept by the `agents` SDK: the fields are merged into the state with setState, which
// stores it and sends it to whoever is connected. There is no authentication, validation, event or history.
import { Agent } from 'agents';

export class ContextAgent extends Agent {
  initialState = { name: '', description: '', version: 0 };

  change(patch) {
    this.setState({ ...this.state, ...patch, version: this.state.version + 1 });
    return this.state;
  }
}

/** Ids by name, as in the bare form. */
const ids = new Map();

export default {
  async fetch(request, env) {
    const name = new URL(request.url).pathname.split('/')[2];
    let id = ids.get(name);
    if (!id) {
      id = env.AGENTS.idFromName(name);
      ids.set(name, id);
    }
    return Response.json(await env.AGENTS.get(id).change(await request.json()));
  },
};
