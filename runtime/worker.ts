/** The script of the worker that `load` starts in a page. */
import { serve } from './remote/serve.ts';

serve({
  post: (message, transfer) => self.postMessage(message, { transfer }),
  listen(take) {
    self.onmessage = (e) => take(e.data);
  },
});
