/** The page's drawing of the flow, as script text: boxes that open in place, edges with shapes. */
export const canvasScript = String.raw`
var svgNs = 'http://www.w3.org/2000/svg';
function make(ns, tag, attrs, kids) {
  var e = ns ? document.createElementNS(ns, tag) : document.createElement(tag);
  Object.keys(attrs || {}).forEach(function (k) {
    if (k === 'on') Object.keys(attrs.on).forEach(function (t) { e.addEventListener(t, attrs.on[t]); });
    else if (attrs[k] !== undefined && attrs[k] !== null) e.setAttribute(k, attrs[k]);
  });
  (kids || []).forEach(function (kid) { if (kid !== null && kid !== undefined) e.append(kid); });
  return e;
}
var svg = function (tag, attrs, kids) { return make(svgNs, tag, attrs, kids); };
var html = function (tag, attrs, kids) { return make(null, tag, attrs, kids); };
var cut = function (text, most) { return text.length > most ? text.slice(0, most - 1) + '…' : text; };
var scaled = function (x, units, base) {
  var k = 0;
  while (x >= base * 0.9995 && k < units.length - 1) { x /= base; k++; }
  return (x < 10 && k ? x.toFixed(2) : x < 100 && k ? x.toFixed(1) : Math.round(x)) + units[k];
};
var countText = function (x) { return scaled(x, ['', ' k', ' M', ' G', ' T'], 1000); };
var sizeText = function (x) { return scaled(x, [' B', ' KiB', ' MiB', ' GiB', ' TiB'], 1024); };
var flopText = function (x) { return scaled(x, [' FLOP', ' kFLOP', ' MFLOP', ' GFLOP', ' TFLOP'], 1000); };
var figureLine = function (c) {
  return countText(c[0]) + ' params · ' + sizeText(c[1]) + ' · ' + flopText(c[2]);
};
var portText = function (p) { return (p.name ? p.name + ': ' : '') + p.type; };
var mono = 6.5, sans = 7.1;

/** Sizes of a body's boxes, those that are open with what is inside. */
function measure(scope, key) {
  var nodes = scope.nodes.map(function (node, i) {
    var own = key + '/' + i, m = { node: node, key: own, lines: [] };
    if (node.kind === 'part') {
      var inner = data.scopes[node.scope];
      m.inner = inner;
      m.title = node.label; m.note = inner.note; m.figures = figureLine(node.cost) + (inner.precision ? ' · ' + inner.precision : '');
      m.w = Math.max(190, (m.title.length + m.note.length) * sans + 52, m.figures.length * 6.1 + 24);
      m.h = 46;
      if (open.has(own)) {
        m.inside = measure(inner, own);
        m.loops = m.loops || 0;
        m.w = Math.max(m.w + 20, m.inside.w + 36); m.h = m.inside.h + 72;
      }
    } else if (node.kind === 'op') {
      node.operands.forEach(function (o) { m.lines.push({ text: cut(o, 46), kind: 'operand' }); });
      node.attrs.forEach(function (a) {
        if (/^(score|mask)$/.test(a.name) || a.value.length < 24) m.lines.push({ text: cut(a.name + ' = ' + a.value, 46), kind: 'type' });
      });
      m.w = Math.max(64, node.label.length * 7.4 + 24);
      m.lines.forEach(function (l) { m.w = Math.max(m.w, l.text.length * mono + 18); });
      m.h = 26 + m.lines.length * 14 + (m.lines.length ? 3 : 0);
    } else { m.w = Math.max(56, node.label.length * sans + 26); m.h = 24; m.top = node.kind === 'input'; }
    m.box = m.w;
    m.slots = node.ports.map(function (p) { return portText(p).length * mono + 18; });
    var below = m.slots.reduce(function (a, b) { return a + b; }, 0);
    m.w = Math.max(m.w, below);
    m.below = below;
    var loops = scope.edges.filter(function (e) { return e.loop && e.from === i; }).length;
    if (loops) m.w += 56;
    return m;
  });
  var laid = layout(nodes, scope.edges, 26, 60);
  var back = scope.edges.some(function (e) { return e.loop; });
  return { scope: scope, key: key, nodes: nodes, laid: laid, w: laid.w + (back ? 30 : 0), h: laid.h };
}

function drawBody(body) {
  var g = svg('g', {}), items = body.laid.items, scope = body.scope;
  var portX = function (i, port) {
    var m = body.nodes[i], x = items[i].x - m.below / 2;
    for (var p = 0; p < port; p++) x += m.slots[p];
    return x + (m.slots[port] || 0) / 2;
  };
  var entering = scope.nodes.map(function () { return []; });
  var cameFrom = function (r) { return r.via.length ? r.via[r.via.length - 1].x : portX(r.edge.from, r.edge.port || 0); };
  body.laid.routes.forEach(function (r) { entering[r.edge.to].push(r); });
  entering.forEach(function (list) { list.sort(function (a, b) { return cameFrom(a) - cameFrom(b); }); });
  var long = scope.nodes.map(function () { return 0; });
  var typeOf = function (e) { return portText(scope.nodes[e.from].ports[e.port || 0]); };
  body.laid.routes.forEach(function (r) {
    var e = r.edge, from = items[e.from], to = items[e.to], list = entering[e.to];
    var x = portX(e.from, e.port || 0), y = from.y + from.h;
    var d = 'M' + x + ' ' + y + 'V' + (y += 26);
    var go = function (x1, y1) {
      var half = (y + y1) / 2;
      d += 'C' + x + ' ' + half + ' ' + x1 + ' ' + half + ' ' + x1 + ' ' + y1;
      x = x1; y = y1;
    };
    if (from.tall > from.h) d += 'V' + (y += from.tall - from.h);
    r.via.forEach(function (v) { go(v.x, v.y); d += 'V' + (y = v.y + v.tall); });
    var width = Math.min(body.nodes[e.to].box * 0.7, 40 * (list.length - 1));
    var at = list.length < 2 ? 0 : list.indexOf(r) / (list.length - 1) - 0.5;
    go(to.x + at * width, to.y);
    g.append(svg('path', { class: 'edge', d: d, 'marker-end': 'url(#arrow)' }, [svg('title', {}, [typeOf(e)])]));
    if (r.via.length > 1) label(g, scope.nodes[e.from].ports[e.port || 0], to.x + at * width, to.y - 11 - 14 * long[e.to]++);
  });
  scope.edges.filter(function (e) { return e.loop; }).forEach(function (e) {
    var a = items[e.from], b = items[e.to], x = portX(e.from, e.port || 0), y = a.y + a.h, port = scope.nodes[e.from].ports[e.port || 0];
    var side = Math.max(a.x + body.nodes[e.from].box / 2, b.x + body.nodes[e.to].box / 2) + 22;
    var top = b.y - 15, end = b.x + body.nodes[e.to].box * 0.36;
    g.append(svg('path', { class: 'edge loop', 'marker-end': 'url(#arrow)',
      d: 'M' + x + ' ' + y + 'v24H' + (side - 8) + 'q8 0 8 -8V' + (top + 8) + 'q0 -8 -8 -8H' + end + 'V' + b.y },
      [svg('title', {}, ['carried from layer to layer: ' + portText(port)])]));
    g.append(svg('text', { class: 'small', x: side + 5, y: (top + y) / 2, 'dominant-baseline': 'middle' }, [cut(port.name, 12)]));
  });
  scope.nodes.forEach(function (node, i) {
    var m = body.nodes[i], it = items[i];
    g.append(drawNode(m, it.x - m.box / 2, it.y));
    node.ports.forEach(function (p, k) { label(g, p, portX(i, k), it.y + it.h + 15); });
  });
  return g;
}

/** A value's name and type on its edge. */
function label(g, port, x, y) {
  var w = portText(port).length * mono + 8;
  g.append(svg('rect', { class: 'backing', x: x - w / 2, y: y - 10, width: w, height: 14, rx: 3 }));
  g.append(svg('text', { class: 'type', x: x, y: y, 'text-anchor': 'middle', 'data-type': port.type }, [
    port.name ? svg('tspan', { class: 'var' }, [port.name + ': ']) : null, port.type]));
}

function drawNode(m, x, y) {
  var node = m.node, part = node.kind === 'part', port = node.kind === 'input' || node.kind === 'output';
  var kinds = [part ? 'part' : port ? 'port' : 'op'];
  if (part && m.inner.kind === 'layers') kinds.push('layers');
  if (m.inside) kinds.push('open');
  if (m.key === chosen) kinds.push('chosen');
  var act = function (event) { event.stopPropagation(); if (part) toggle(m.key); choose(m.key); };
  var g = svg('g', { class: kinds.join(' '), transform: 'translate(' + x + ' ' + y + ')', 'data-key': m.key,
    tabindex: port ? null : 0, role: port ? null : 'button', 'aria-expanded': part ? String(!!m.inside) : null,
    'aria-label': node.label + (part ? ', ' + m.note + ', ' + m.figures : ''),
    on: { keydown: function (e) { if ((e.key === 'Enter' || e.key === ' ') && e.target === g) { e.preventDefault(); act(e); } },
      click: function (e) { e.stopPropagation(); if (m.inside || port) choose(m.key); else act(e); } } });
  g.append(svg('rect', { class: 'box', width: m.box, height: m.h, rx: port ? 12 : 7 }));
  if (!part) {
    g.append(svg('text', { x: m.box / 2, y: port ? 16 : 17, 'text-anchor': 'middle', class: port ? '' : 'name' }, [node.label]));
    m.lines.forEach(function (l, k) {
      g.append(svg('text', { class: l.kind, x: m.box / 2, y: 32 + 14 * k, 'text-anchor': 'middle' }, [l.text]));
    });
    return g;
  }
  g.append(svg('rect', { class: 'head', width: m.box, height: m.inside ? 40 : m.h, rx: 7, on: { click: act } }));
  g.append(svg('text', { x: 12, y: 18, 'pointer-events': 'none' }, [
    (m.inside ? '▾ ' : '▸ '), svg('tspan', { class: 'name' }, [m.title]), svg('tspan', { class: 'small', dx: 7 }, [m.note])]));
  g.append(svg('text', { class: 'small', x: 12, y: 35, 'pointer-events': 'none' }, [m.figures]));
  if (m.inside) {
    var inner = drawBody(m.inside);
    inner.setAttribute('transform', 'translate(' + (m.box - m.inside.w) / 2 + ' 54)');
    g.append(inner);
  }
  return g;
}

function drawCanvas() {
  var scope = scopeAt(focused), body = measure(scope, focused), pad = 12;
  var w = body.w + 2 * pad, h = body.h + 2 * pad + 20;
  var inner = drawBody(body);
  inner.setAttribute('transform', 'translate(' + pad + ' ' + pad + ')');
  var picture = svg('svg', { viewBox: '0 0 ' + w + ' ' + h, width: w * zoom, height: h * zoom, role: 'group', 'aria-label': 'dataflow of ' + scope.title }, [
    svg('defs', {}, [svg('marker', { id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 6, markerHeight: 6, orient: 'auto' }, [
      svg('path', { d: 'M0 0L8 4L0 8z', fill: 'context-stroke' })])]), inner]);
  var canvas = document.getElementById('canvas');
  canvas.replaceChildren(picture);
  return { w: w, h: h };
}
`;
