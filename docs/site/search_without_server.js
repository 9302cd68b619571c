// A browser lets a page that was opened as a file neither fetch the index of the search nor start a worker. So there the
// index comes as a script, and the worker's script runs in a frame.
if (location.protocol === "file:") {
  window.__search = {
    index: new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = site_base + "/search/search_index.js"; // calls search_index_is_here
      window.search_index_is_here = resolve;
      document.head.append(script);
    }),
  };

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = `<script>"use strict"; self.postMessage = (data) => parent.answered(data);<\/script>
                      <script src="${new URL(url, location)}"><\/script>`;
      window.answered = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.ready = new Promise((resolve) => { frame.onload = () => resolve(frame.contentWindow); });
      document.addEventListener("DOMContentLoaded", () => document.body.append(frame));
      if (document.readyState !== "loading") document.body.append(frame);
    }

    postMessage(data) {
      this.ready.then((frame) => frame.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {}
  };
}
