#include "policylab/page.hpp"

namespace policylab {

// Draws with strings of SVG: the browser's HTML parser knows what an svg element is, so that no namespace is
// named.
std::string_view page_script() noexcept {
  return R"js('use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const byId = id => document.getElementById(id);
const chosen = { workload: 0, policy: 0, metric: 'ready_to_run', scale: 'nines' };
const policyColour = i => `var(--p${i % 8})`;
const classColour = i => `var(--c${i % 8})`;
// Lines that lie upon each other show as a core within a band.
const dashes = ['', '', '', '2 3', '9 3 2 3', '3 5'];
const widths = [2, 7, 3.5, 2, 2, 2];

function time(ns) {
  if (ns < 1000) return ns === 0 ? '0' : `${Math.round(ns)} ns`;
  let value = ns;
  let unit = 'ns';
  for (const next of ['µs', 'ms', 's']) {
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  return `${value.toPrecision(3)} ${unit}`;
}
const percent = part => `${(part * 100).toFixed(1)} %`;
const escape = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

function tip(event, html) {
  const box = byId('tip');
  box.hidden = false;
  box.innerHTML = html;
  const x = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
  const y = Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8);
  box.style.left = `${Math.max(4, x)}px`;
  box.style.top = `${Math.max(4, y)}px`;
}
const noTip = () => { byId('tip').hidden = true; };

/// Where the pointer is, in the coordinates of the drawing.
function place(svg, event) {
  const box = svg.getBoundingClientRect();
  const view = svg.viewBox.baseVal;
  return [(event.clientX - box.left) / box.width * view.width, (event.clientY - box.top) / box.height * view.height];
}

function hover(svg, answer) {
  svg.addEventListener('pointermove', event => {
    const html = answer(...place(svg, event));
    if (html) tip(event, html); else noTip();
  });
  svg.addEventListener('pointerleave', noTip);
}

/// A logarithmic axis; what is shorter than 100 ns stands at its edge.
function logAxis(shortest, longest, from, to) {
  const floor = 10 ** Math.floor(Math.log10(Math.max(shortest, 100)));
  const low = Math.log10(floor);
  const high = Math.max(Math.log10(Math.max(longest, 1)), low + 1);
  const at = ns => from + (Math.log10(Math.max(ns, floor)) - low) / (high - low) * (to - from);
  const marks = [];
  for (let power = Math.ceil(low); power <= high; ++power) marks.push(10 ** power);
  return { at, marks };
}

function line(i, points) {
  const dash = dashes[i % dashes.length];
  return `<polyline fill="none" stroke="${policyColour(i)}" stroke-width="${widths[i % widths.length]}"` +
    `${dash ? ` stroke-dasharray="${dash}"` : ''} stroke-linejoin="round"` +
    ` points="${points.map(p => p.map(v => v.toFixed(1)).join(',')).join(' ')}"/>`;
}

const tipRow = (colour, text) => `<div><i style="background:${colour}"></i>${text}</div>`;

// ---- the pictures ----

function drawCurves(study) {
  const quantiles = data.curve_quantiles;
  const width = 540, height = 270, left = 52, right = 14, top = 8, bottom = 30;
  const nines = chosen.scale === 'nines';
  const depth = q => nines ? Math.min(-Math.log10(1 - Math.min(q, 0.99999)), 4.2) / 4.2 : q;
  const yOf = q => height - bottom - depth(q) * (height - top - bottom);
  const marks = nines ? [0, 0.5, 0.9, 0.99, 0.999, 0.9999] : [0, 0.25, 0.5, 0.75, 1];
  byId('curves').innerHTML = study.classes.map((each, c) => {
    const longest = Math.max(...study.runs.map(run => run.classes[c][chosen.metric].max_ns));
    const x = logAxis(0, longest, left, width - right);
    let svg = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="latency of ${escape(each.name)}">`;
    for (const q of marks) {
      svg += `<line class="grid" x1="${left}" x2="${width - right}" y1="${yOf(q)}" y2="${yOf(q)}"/>` +
        `<text x="${left - 6}" y="${yOf(q) + 4}" text-anchor="end">${+(q * 100).toFixed(2)} %</text>`;
    }
    for (const mark of x.marks) {
      svg += `<line class="grid" x1="${x.at(mark)}" x2="${x.at(mark)}" y1="${top}" y2="${height - bottom}"/>` +
        `<text x="${x.at(mark)}" y="${height - bottom + 16}" text-anchor="middle">${time(mark)}</text>`;
    }
    study.runs.forEach((run, i) => {
      const curve = run.classes[c][chosen.metric].curve_ns;
      svg += line(i, curve.map((ns, k) => [x.at(ns), yOf(quantiles[k])]));
    });
    const deadline = each.deadline_ns && chosen.metric === 'arrival_to_end'
      ? `<line x1="${x.at(each.deadline_ns)}" x2="${x.at(each.deadline_ns)}" y1="${top}" y2="${height - bottom}"` +
        ` stroke="var(--text)" stroke-dasharray="2 4"/>` +
        `<text class="name" x="${x.at(each.deadline_ns) + 4}" y="${height - bottom - 6}">deadline</text>` : '';
    return `<div class="panel"><h3>${escape(each.name)} <span class="soft">priority ${each.priority}</span></h3>` +
      `${svg}${deadline}</svg></div>`;
  }).join('');
  byId('curves').querySelectorAll('svg').forEach((svg, c) => hover(svg, (x, y) => {
    let best = 0;
    quantiles.forEach((q, k) => { if (Math.abs(yOf(q) - y) < Math.abs(yOf(quantiles[best]) - y)) best = k; });
    return `<b>${escape(study.classes[c].name)}, ${+(quantiles[best] * 100).toFixed(3)} %</b>` +
      study.runs.map((run, i) => {
        const curve = run.classes[c][chosen.metric].curve_ns;
        return tipRow(policyColour(i), `${run.policy} ${curve.length ? time(curve[best]) : '–'}`);
      }).join('');
  }));
}

function drawOverview(study) {
  const width = 1120, left = 70, row = 44, gap = 10, bottom = 24;
  const height = study.runs.length * (row + gap) + bottom;
  const parts = study.runs[0].overview[0].length;
  const step = (width - left) / parts;
  const edge = k => (left + k * step).toFixed(2);
  let svg = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="the processor's time by class">`;
  study.runs.forEach((run, r) => {
    const base = r * (row + gap) + row;
    svg += `<text class="name" x="0" y="${base - row / 2 + 4}">${run.policy}</text>` +
      `<line class="grid" x1="${left}" x2="${width}" y1="${base}" y2="${base}"/>`;
    const sums = new Array(parts).fill(0);
    run.overview.forEach((shares, c) => {
      let path = '';
      shares.forEach((share, k) => {
        const y = base - Math.min(1, sums[k]) * row;
        sums[k] += share;
        const y2 = base - Math.min(1, sums[k]) * row;
        if (y - y2 > 0.01) path += `M${edge(k)} ${y.toFixed(1)}H${edge(k + 1)}V${y2.toFixed(1)}H${edge(k)}z`;
      });
      svg += `<path d="${path}" fill="${classColour(c)}" shape-rendering="crispEdges"/>`;
    });
  });
  for (let mark = 0; mark <= 4; ++mark) {
    const x = left + (width - left) * mark / 4;
    svg += `<text x="${x}" y="${height - 6}" text-anchor="${mark === 0 ? 'start' : mark === 4 ? 'end' : 'middle'}">` +
      `${time(study.length_ns * mark / 4)}</text>`;
  }
  byId('overview').innerHTML = svg + '</svg>';
  hover(byId('overview').firstChild, (x, y) => {
    const run = study.runs[Math.floor(y / (row + gap))];
    const part = Math.floor((x - left) / step);
    if (!run || part < 0 || part >= parts) return '';
    return `<b>${run.policy}, ${time(study.length_ns * part / parts)} to ${time(study.length_ns * (part + 1) / parts)}</b>` +
      study.classes.map((each, c) => tipRow(classColour(c), `${escape(each.name)} ${percent(run.overview[c][part])}`)).join('');
  });
}

function drawTimeline(study) {
  const run = study.runs[chosen.policy];
  const width = 1120, left = 130, row = 24, bottom = 26;
  const height = study.classes.length * row + bottom;
  const stretches = run.stretches;
  const box = byId('timeline');
  if (stretches.length === 0) {
    box.innerHTML = '<p>Nothing ran in this part of the run.</p>';
    return;
  }
  const begin = stretches[0][1];
  const span = stretches[stretches.length - 1][2] - begin;
  const at = ns => left + (ns - begin) / span * (width - left);
  let svg = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="who ran when under ${run.policy}">`;
  study.classes.forEach((each, c) => {
    svg += `<text class="name" x="0" y="${c * row + 16}">${escape(each.name)}</text>` +
      `<line class="grid" x1="${left}" x2="${width}" y1="${(c + 1) * row}" y2="${(c + 1) * row}"/>`;
  });
  for (const [c, from, to] of stretches) {
    svg += `<rect x="${at(from).toFixed(2)}" y="${c * row + 3}" width="${Math.max(0.6, at(to) - at(from)).toFixed(2)}"` +
      ` height="${row - 6}" fill="${classColour(c)}"/>`;
  }
  for (let mark = 0; mark <= 4; ++mark) {
    svg += `<text x="${left + (width - left) * mark / 4}" y="${height - 8}"` +
      ` text-anchor="${mark === 0 ? 'start' : mark === 4 ? 'end' : 'middle'}">` +
      `${mark === 0 ? time(begin) : '+' + time(span * mark / 4)}</text>`;
  }
  box.innerHTML = svg + '</svg>';
  hover(box.firstChild, (x, y) => {
    const when = begin + (x - left) / (width - left) * span;
    const found = stretches.find(([, from, to]) => when >= from && when < to);
    if (x < left) return '';
    if (!found) return 'idle';
    return tipRow(classColour(found[0]), `${escape(study.classes[found[0]].name)} for ${time(found[2] - found[1])}`) +
      `<div class="soft">from ${(found[1] / 1e9).toFixed(6)} s on</div>`;
  });
}

function drawWaits(study) {
  const width = 1120, height = 300, left = 62, right = 20, top = 10, bottom = 40;
  const all = study.runs.flatMap(run => run.wait_by_priority);
  const low = Math.min(...all.map(w => w.priority)), high = Math.max(...all.map(w => w.priority));
  const margin = (high - low) * 0.03 || 1;
  const x = p => left + (p - low + margin) / (high - low + 2 * margin) * (width - left - right);
  const times = all.map(w => w.ready_to_run);
  const y = logAxis(Math.min(...times.map(t => t.p99_ns)), Math.max(...times.map(t => t.max_ns)), height - bottom, top);
  let svg = `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="waits over priority">`;
  for (const mark of y.marks) {
    svg += `<line class="grid" x1="${left}" x2="${width - right}" y1="${y.at(mark)}" y2="${y.at(mark)}"/>` +
      `<text x="${left - 6}" y="${y.at(mark) + 4}" text-anchor="end">${time(mark)}</text>`;
  }
  const marks = new Set([low, high, ...study.classes.map(each => each.priority)]);
  for (const mark of marks) {
    svg += `<text x="${x(mark)}" y="${height - bottom + 16}" text-anchor="middle">${+mark.toFixed(2)}</text>`;
  }
  svg += `<text x="${width - right}" y="${height - 6}" text-anchor="end">priority (less urgent to the right)</text>`;
  study.runs.forEach((run, i) => {
    const waits = run.wait_by_priority;
    svg += line(i, waits.map(w => [x(w.priority), y.at(w.ready_to_run.p99_ns)]));
    for (const w of waits) {
      const beside = (i - (study.runs.length - 1) / 2) * 6;  // so that equal ones can be told apart
      svg += `<circle cx="${(x(w.priority) + beside).toFixed(1)}" cy="${y.at(w.ready_to_run.max_ns).toFixed(1)}" r="3"` +
        ` fill="${policyColour(i)}"/>`;
    }
  });
  byId('waits').innerHTML = svg + '</svg>';
  hover(byId('waits').firstChild, at => {
    const nearest = all.reduce((a, b) => Math.abs(x(a.priority) - at) <= Math.abs(x(b.priority) - at) ? a : b);
    return `<b>priority ${+nearest.priority.toFixed(2)}</b>` + study.runs.map((run, i) => {
      const found = run.wait_by_priority.find(w => w.priority === nearest.priority);
      return tipRow(policyColour(i), `${run.policy} ` + (found
        ? `p50 ${time(found.ready_to_run.p50_ns)}, p99 ${time(found.ready_to_run.p99_ns)}, ` +
          `longest ${time(found.ready_to_run.max_ns)}` : '–'));
    }).join('');
  });
}

function drawFigures(study) {
  const head = ['class', 'policy', 'jobs/s', 'processor', 'p50', 'p99', 'p99.9', 'longest', 'bound', 'missed', 'inverted',
    'for at most', 'open'];
  const rows = study.classes.flatMap((each, c) => study.runs.map((run, i) => {
    const row = run.classes[c];
    const times = row[chosen.metric];
    const cells = [escape(each.name), run.policy, row.finished_per_s.toFixed(1), percent(row.share), time(times.p50_ns),
      time(times.p99_ns), time(times.p999_ns), time(times.max_ns), row.bound.kept ? 'kept' : time(row.bound.late_ns),
      row.deadlines ? percent(row.missed / row.deadlines) : '–', row.inversions.count, time(row.inversions.longest_ns),
      row.unfinished];
    return `<tr${i === chosen.policy ? ' class="chosen"' : ''}><td>${cells.join('</td><td>')}</td></tr>`;
  }));
  byId('figures').innerHTML = `<tr><th>${head.join('</th><th>')}</th></tr>${rows.join('')}`;
}

// ---- the page ----

function draw() {
  const study = data.workloads[chosen.workload];
  noTip();
  byId('run').textContent = `seed ${data.seed}, ${data.time} time` + (data.inheritance ? '' : ', without inheritance');
  byId('about').textContent = `${study.about} (${time(study.length_ns)}, a unit of priority is worth ` +
    `${time(study.age_unit_ns)} of waiting under aging)`;
  byId('findings').innerHTML = study.findings.map(text => `<li>${escape(text)}</li>`).join('');
  byId('policies').innerHTML = study.runs.map((run, i) =>
    `<span><svg viewBox="0 0 26 8" width="26" height="8">${line(i, [[0, 4], [26, 4]])}</svg>${run.policy}</span>`).join('');
  byId('classes').innerHTML = study.classes.map((each, c) =>
    `<span><svg viewBox="0 0 26 10" width="26" height="10"><rect width="26" height="10" fill="${classColour(c)}"/></svg>` +
    `${escape(each.name)}</span>`).join('');
  drawCurves(study);
  drawOverview(study);
  drawTimeline(study);
  drawWaits(study);
  drawFigures(study);
}

byId('workload').innerHTML = data.workloads.map((each, i) => `<option value="${i}">${escape(each.name)}</option>`).join('');
const policies = data.workloads[0].runs.map(run => run.policy);
byId('policy').innerHTML = policies.map((name, i) => `<option value="${i}">${name}</option>`).join('');
// The choice stands behind the page's name: page.html#workload=herd&policy=strict
const wanted = new URLSearchParams(location.hash.slice(1));
chosen.workload = Math.max(0, data.workloads.findIndex(each => each.name === wanted.get('workload')));
chosen.policy = Math.max(0, policies.indexOf(wanted.get('policy') || 'aging'));
byId('workload').value = chosen.workload;
byId('policy').value = chosen.policy;
for (const id of ['workload', 'policy', 'metric', 'scale']) {
  byId(id).addEventListener('change', event => {
    const value = event.target.value;
    chosen[id] = id === 'workload' || id === 'policy' ? Number(value) : value;
    location.hash = `workload=${data.workloads[chosen.workload].name}&policy=${policies[chosen.policy]}`;
    draw();
  });
}
draw();
)js";
}

}  // namespace policylab
