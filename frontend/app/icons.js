// Line icons of 24 x 24, drawn in the colour of the text. They are decoration: the words beside them say what they mean.

import { html } from "/common/html.js";

function icon(inner) {
  return html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${inner}</svg>`;
}

export const icons = {
  files: icon(html`<path d="M4 7.500A2.500 2.500 0 0 1 6.500 5h3.200l2 2.200h5.800A2.500 2.500 0 0 1 20 9.700v6.800a2.500 2.500 0 0 1-2.500 2.500h-11A2.500 2.500 0 0 1 4 16.500z"/>`),
  train: icon(html`<path d="M4 18.500 9 12l3.600 3.200L20 6"/><path d="M15 6h5v5"/>`),
  models: icon(html`<path d="m12 3.500 7.500 4.200v8.600L12 20.500l-7.500-4.200V7.700z"/><path d="m4.800 7.900 7.200 4 7.200-4M12 12v8.200"/>`),
  try: icon(html`<path d="M4.500 19.500c2.500.3 4.300-.3 4.600-2.200M9.300 17.300 19 5.600a1.600 1.600 0 0 0-2.500-2L7.300 15.600c1.200.1 1.900.7 2 1.700z"/>`),
  cluster: icon(html`<circle cx="12" cy="5.500" r="2.300"/><circle cx="5.500" cy="17.500" r="2.300"/><circle cx="18.500" cy="17.500" r="2.300"/><path d="m10.900 7.500-4.300 8M13.100 7.500l4.300 8M7.800 17.500h8.400"/>`),
  records: icon(html`<path d="M8 6.500h12M8 12h12M8 17.500h12"/><path d="M4 6.500h.1M4 12h.1M4 17.500h.1"/>`),
  datasets: icon(html`<rect x="4" y="4.500" width="6.500" height="6.500" rx="1.300"/><rect x="13.500" y="4.500" width="6.500" height="6.500" rx="1.300"/><rect x="4" y="13.500" width="6.500" height="6.500" rx="1.300"/><path d="M16.700 13.500v6.500M13.500 16.700H20"/>`),
  settings: icon(html`<path d="M4 7.500h8M16.500 7.500H20M4 16.500h3.500M12 16.500h8"/><circle cx="14.200" cy="7.500" r="2.200"/><circle cx="9.700" cy="16.500" r="2.200"/>`),
  key: icon(html`<circle cx="8" cy="15.500" r="3.800"/><path d="m10.800 12.700 8-8M16 7.500l2.500 2.500M13.500 10l1.500 1.500"/>`),
  copy: icon(html`<rect x="8.500" y="8.500" width="11" height="11" rx="2"/><path d="M5.500 15.500h-1v-9a2 2 0 0 1 2-2h9v1"/>`),
  folder: icon(html`<path d="M4 7.500A2.500 2.500 0 0 1 6.500 5h3.200l2 2.200h5.800A2.500 2.500 0 0 1 20 9.700v6.800a2.500 2.500 0 0 1-2.500 2.500h-11A2.500 2.500 0 0 1 4 16.500z"/><path d="M12 10v6M9 13h6"/>`),
  drop: icon(html`<path d="M12 15.500V4.500M7.500 9 12 4.500 16.500 9"/><path d="M4.500 15v2.500a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2V15"/>`),
  download: icon(html`<path d="M12 4.500v11M7.500 11l4.500 4.500 4.500-4.500"/><path d="M4.500 15.500v2a2 2 0 0 0 2 2h11a2 2 0 0 0 2-2v-2"/>`),
  remove: icon(html`<path d="M5 7h14M9.500 7V4.800h5V7M7 7l.8 12.200h8.400L17 7M10.300 10.500v5.500M13.700 10.500v5.500"/>`),
  cancel: icon(html`<path d="m7 7 10 10M17 7 7 17"/>`),
  retry: icon(html`<path d="M19 12a7 7 0 1 1-2.200-5.100M19 4v4h-4"/>`),
  undo: icon(html`<path d="M5 12a7 7 0 1 0 2.200-5.100M5 4v4h4"/>`),
  done: icon(html`<path d="m5 12.500 4.500 4.500L19 7.500"/>`),
  image: icon(html`<rect x="4" y="5" width="16" height="14" rx="2"/><circle cx="9" cy="10" r="1.500"/><path d="m5 17 4.500-4 3 2.500 3.500-3.500 3.500 4"/>`),
  data: icon(html`<ellipse cx="12" cy="6.500" rx="7" ry="2.700"/><path d="M5 6.500v11c0 1.500 3.100 2.700 7 2.700s7-1.200 7-2.700v-11M5 12c0 1.500 3.100 2.700 7 2.700s7-1.200 7-2.700"/>`),
  file: icon(html`<path d="M7 3.500h6.500L18 8v12.500H7z"/><path d="M13.500 3.500V8H18"/>`),
  search: icon(html`<circle cx="10.500" cy="10.500" r="5.500"/><path d="m15 15 4.500 4.500"/>`),
  crown: icon(html`<path d="m4 8 4 4 4-7 4 7 4-4-1.600 10H5.600z"/>`),
  warning: icon(html`<path d="M12 4.500 20.500 19h-17zM12 10v4M12 16.500h.1"/>`),
};
