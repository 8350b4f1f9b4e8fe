// Ten thousand points, drawn by the graphics processor where there is one, otherwise one by one.
import { css } from "./pictures.js";

const VERTEX = `
  attribute vec2 place;
  attribute float label;
  uniform vec2 centre;
  uniform float half_span;
  uniform mediump float size;
  uniform vec4 colours[10];
  varying vec4 colour;
  void main() {
    colour = colours[int(label + 0.5)];
    vec2 there = colour.a > 0.0 ? (place - centre) / half_span : vec2(9.0);
    gl_Position = vec4(there, 0.0, 1.0);
    gl_PointSize = size;
  }`;
const FRAGMENT = `
  precision mediump float;
  uniform mediump float size;
  varying vec4 colour;
  void main() {
    float away = length(gl_PointCoord - 0.5) * size;
    float inside = clamp(size * 0.5 - away, 0.0, 1.0) * colour.a;
    gl_FragColor = vec4(colour.rgb * inside, inside);
  }`;

export class Points {
  // places: two numbers a point; labels: one digit a point, or null.
  constructor(canvas, places, labels) {
    Object.assign(this, { canvas, places, labels: labels ?? new Uint8Array(places.length / 2) });
    this.gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
    if (this.gl) {
      this.prepare();
      canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
      canvas.addEventListener("webglcontextrestored", () => this.prepare());
    }
  }

  prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    this.uniform = (name) => gl.getUniformLocation(program, name);
    for (const [name, values, size] of [["place", this.places, 2], ["label", Float32Array.from(this.labels), 1]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    }
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // colours: of each digit; shown: whether each digit's points are. ratio: the canvas' pixels a pixel of the view.
  draw(view, ratio, colours, shown, alpha) {
    const size = ratio * Math.min(Math.max(3.2, 18 / view.span), 9);
    if (this.gl) this.drawFast(view, size, colours, shown, alpha);
    else this.drawPlain(view, size, ratio, colours, shown, alpha);
  }

  drawFast(view, size, colours, shown, alpha) {
    const { gl, canvas } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2fv(this.uniform("centre"), view.centre);
    gl.uniform1f(this.uniform("half_span"), view.span / 2);
    gl.uniform1f(this.uniform("size"), size);
    const rgba = colours.flatMap((colour, digit) => [...colour.map((part) => part / 255), shown[digit] ? alpha : 0]);
    gl.uniform4fv(this.uniform("colours"), rgba);
    gl.drawArrays(gl.POINTS, 0, this.labels.length);
  }

  drawPlain(view, size, ratio, colours, shown, alpha) {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (let digit = 0; digit < 10; digit++) {
      if (!shown[digit]) continue;
      context.fillStyle = css(colours[digit], alpha);
      for (let each = 0; each < this.labels.length; each++) {
        if (this.labels[each] !== digit) continue;
        const [x, y] = view.pixel([this.places[2 * each], this.places[2 * each + 1]]);
        context.fillRect(ratio * x - size / 2, ratio * y - size / 2, size, size);
      }
    }
  }
}
