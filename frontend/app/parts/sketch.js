// A pad to draw on: white ink on black, as the digits of MNIST are. The pen is thick, and smooth: points are joined by
// quadratic curves through their midpoints, so that a fast hand leaves no corners.

export const SIDE = 336;
const PEN = 26;

export class Sketch extends EventTarget {
  #canvas;
  #context;
  #strokes = [];
  #picture = null;
  #pen = null;

  // Dispatches "change" while the drawing changes.
  constructor(canvas) {
    super();
    this.#canvas = canvas;
    canvas.width = canvas.height = SIDE;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#end(event));
    this.#draw();
  }

  get empty() {
    return !this.#strokes.length && !this.#picture;
  }

  // Whether there is something of the person's own hand: a picture that is shown was told of by whoever showed it.
  get drawn() {
    return this.#strokes.length > 0;
  }

  clear() {
    this.#strokes = [];
    this.#picture = null;
    this.#changed();
  }

  undo() {
    this.#strokes.pop();
    this.#changed();
  }

  // A stroke begins at this point ([x, y], 0 to SIDE), and goes on over these.
  press(point) {
    this.#picture = null;
    this.#strokes.push([point]);
    this.#changed();
  }

  go(...points) {
    this.#strokes.at(-1).push(...points);
    this.#changed();
  }

  // Shows a picture in place of the drawing. `bitmap`: an ImageBitmap.
  show(bitmap) {
    this.#strokes = [];
    this.#picture = bitmap;
    this.#changed();
  }

  // The drawing as a PNG.
  blob() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
  }

  #changed() {
    this.#draw();
    this.dispatchEvent(new Event("change"));
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
  }

  #begin(event) {
    if (event.button !== 0 || this.#pen !== null) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pen = event.pointerId;
    this.press(this.#point(event));
  }

  #move(event) {
    if (event.pointerId !== this.#pen) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.go(...(events.length ? events : [event]).map((each) => this.#point(each)));
  }

  #end(event) {
    if (event.pointerId !== this.#pen) return;
    this.#pen = null;
    this.dispatchEvent(new Event("change"));
  }

  #draw() {
    const context = this.#context;
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
    if (this.#picture) this.#drawPicture(this.#picture);
    context.strokeStyle = "#fff";
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.#strokes) drawStroke(context, stroke);
  }

  #drawPicture(picture) {
    const scale = Math.min(SIDE / picture.width, SIDE / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    this.#context.imageSmoothingEnabled = scale < 1;
    this.#context.drawImage(picture, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  }
}

function drawStroke(context, points) {
  const [first, ...rest] = points;
  context.beginPath();
  if (!rest.length) {
    context.fillStyle = "#fff";
    context.arc(...first, PEN / 2, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  context.moveTo(...first);
  let [x, y] = first;
  for (const [nextX, nextY] of rest) {
    context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    [x, y] = [nextX, nextY];
  }
  context.lineTo(x, y);
  context.stroke();
}
