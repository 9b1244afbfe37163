/**
 * The page's layout of one body, as script text: layers by longest path, long edges through points,
 * order by barycentres (Sugiyama 1981), places by least squares that keep distances (pool adjacent
 * violators). It runs in the page, since boxes grow when they are opened.
 */
export const layoutScript = String.raw`
function layout(nodes, edges, gapX, gapY) {
  var n = nodes.length, rank = new Array(n).fill(0), flow = edges.filter(function (e) { return !e.loop; });
  for (var round = 0, moved = true; moved && round <= n; round++) {
    moved = false;
    flow.forEach(function (e) { if (rank[e.to] < rank[e.from] + 1) { rank[e.to] = rank[e.from] + 1; moved = true; } });
  }
  // What nothing flows into stands right above what reads it.
  nodes.forEach(function (node, i) {
    if (flow.some(function (e) { return e.to === i; })) return;
    var below = flow.filter(function (e) { return e.from === i; }).map(function (e) { return rank[e.to]; });
    if (below.length && !node.top) rank[i] = Math.min.apply(null, below) - 1;
  });
  var items = nodes.map(function (node, i) { return { node: i, w: node.w, h: node.h, rank: rank[i], up: [], down: [] }; });
  var chains = new Map(), routes = [];
  flow.forEach(function (e) {
    var key = e.from + ':' + (e.port || 0), chain = chains.get(key) || [];
    chains.set(key, chain);
    var before = items[e.from], route = [];
    for (var r = rank[e.from] + 1; r < rank[e.to]; r++) {
      var at = r - rank[e.from] - 1;
      if (!chain[at]) {
        chain[at] = { node: -1, w: 14, h: 0, rank: r, up: [before], down: [] };
        before.down.push(chain[at]);
        items.push(chain[at]);
      }
      before = chain[at];
      route.push(before);
    }
    before.down.push(items[e.to]);
    items[e.to].up.push(before);
    routes.push({ edge: e, via: route });
  });
  var rows = [];
  items.forEach(function (it) { (rows[it.rank] = rows[it.rank] || []).push(it); });
  rows = rows.filter(Boolean);
  rows.forEach(function (row) { row.forEach(function (it, i) { it.at = i; it.x = 0; }); });
  var mean = function (list, of) { return list.reduce(function (s, it) { return s + of(it); }, 0) / list.length; };
  var sweep = function (row, side) {
    row.forEach(function (it) { it.key = it[side].length ? mean(it[side], function (o) { return o.at; }) : it.at; });
    row.sort(function (a, b) { return a.key - b.key || a.at - b.at; });
    row.forEach(function (it, i) { it.at = i; });
  };
  var crossings = function () {
    var count = 0;
    rows.forEach(function (row) {
      var ends = [];
      row.forEach(function (it) { it.down.forEach(function (o) { ends.push([it.at, o.at]); }); });
      for (var i = 0; i < ends.length; i++) for (var j = i + 1; j < ends.length; j++)
        if ((ends[i][0] - ends[j][0]) * (ends[i][1] - ends[j][1]) < 0) count++;
    });
    return count;
  };
  var best = Infinity, kept = null;
  for (var k = 0; k < 12; k++) {
    if (k % 2 === 0) rows.forEach(function (row) { sweep(row, 'up'); });
    else rows.slice().reverse().forEach(function (row) { sweep(row, 'down'); });
    var now = crossings();
    if (now < best) { best = now; kept = rows.map(function (row) { return row.slice(); }); }
  }
  rows = kept;
  rows.forEach(function (row) {
    var x = 0;
    row.forEach(function (it) { it.x = x + it.w / 2; x += it.w + gapX; });
  });
  var place = function (row) {
    var offset = 0, blocks = [];
    row.forEach(function (it, i) {
      if (i) offset += (row[i - 1].w + it.w) / 2 + gapX;
      it.offset = offset;
      var near = it.up.concat(it.down);
      var wish = near.length ? mean(near, function (o) { return o.x; }) : it.x;
      var weight = it.node < 0 ? 2 : 1;
      blocks.push({ sum: (wish - offset) * weight, weight: weight, count: 1 });
      while (blocks.length > 1) {
        var b = blocks[blocks.length - 1], a = blocks[blocks.length - 2];
        if (a.sum / a.weight <= b.sum / b.weight) break;
        blocks.splice(-2, 2, { sum: a.sum + b.sum, weight: a.weight + b.weight, count: a.count + b.count });
      }
    });
    var i = 0;
    blocks.forEach(function (b) { for (var c = 0; c < b.count; c++, i++) row[i].x = b.sum / b.weight + row[i].offset; });
  };
  for (var p = 0; p < 16; p++) (p % 2 ? rows.slice().reverse() : rows).forEach(place);
  var y = 0, left = Infinity, right = -Infinity;
  rows.forEach(function (row) {
    var tall = Math.max.apply(null, row.map(function (it) { return it.h; }));
    row.forEach(function (it) {
      it.y = y; it.tall = tall;
      left = Math.min(left, it.x - it.w / 2);
      right = Math.max(right, it.x + it.w / 2);
    });
    y += tall + gapY;
  });
  items.forEach(function (it) { it.x -= left; });
  return { w: right - left, h: Math.max(0, y - gapY), items: items.slice(0, n), routes: routes };
}
`;
