#include "policylab/page.hpp"

namespace policylab {

std::string_view page_style() noexcept {
  return R"css(:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f9; --line: #d5d9e0; --text: #1c2430; --soft: #5b6675;
  --p0: #5b6675; --p1: #1d6fd1; --p2: #d1531d; --p3: #8a5cd6; --p4: #12875c; --p5: #b3128a; --p6: #7a6a00; --p7: #0b7d94;
  --c0: #c43c5c; --c1: #1f7a8c; --c2: #b58900; --c3: #5661c4; --c4: #3d8b37; --c5: #a0522d; --c6: #7d3c98; --c7: #52707a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181f; --panel: #1c222c; --line: #37404e; --text: #e6eaf0; --soft: #9aa7b8;
    --p0: #9aa7b8; --p1: #62a8ff; --p2: #ff9a5c; --p3: #bd9bff; --p4: #4fd09b; --p5: #ff79d2; --p6: #d8c547; --p7: #4fc9e0;
    --c0: #ff7a98; --c1: #4fb8cc; --c2: #e6bd45; --c3: #96a0ff; --c4: #7fd077; --c5: #e09a72; --c6: #cf90ea; --c7: #9dbac4;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.45 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 20px; }
h1 { font-size: 22px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 30px 0 4px; }
h3 { font-size: 14px; margin: 0 0 4px; font-weight: 600; }
p { margin: 4px 0 8px; }
.soft { color: var(--soft); }
.controls { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: 14px; padding: 10px 0;
  background: var(--page); border-bottom: 1px solid var(--line); }
label { display: flex; gap: 6px; align-items: center; }
select { font: inherit; padding: 3px 6px; color: var(--text); background: var(--panel); border: 1px solid var(--line);
  border-radius: 5px; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 14px; }
.panel { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 10px; min-width: 0; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 6px 0; }
.legend svg { vertical-align: middle; margin-right: 5px; }
svg { display: block; width: 100%; height: auto; }
.legend svg { display: inline-block; width: 26px; }
svg text { fill: var(--soft); font-size: 11px; }
svg .name { fill: var(--text); font-size: 12px; }
.grid { stroke: var(--line); stroke-width: 1; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 3px 7px; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
tr.chosen td { background: var(--panel); font-weight: 600; }
#tip { position: fixed; z-index: 3; pointer-events: none; padding: 6px 9px; border-radius: 6px; font-size: 13px;
  background: var(--page); border: 1px solid var(--line); box-shadow: 0 3px 12px rgb(0 0 0 / 25%); }
#tip i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 6px; }
)css";
}

std::string_view page_body() noexcept {
  return R"html(<main>
<h1>Scheduling policies compared</h1>
<p class="soft" id="run"></p>
<div class="controls">
<label>workload <select id="workload"></select></label>
<label>policy <select id="policy"></select></label>
<label>time <select id="metric">
<option value="ready_to_run">from ready to run</option>
<option value="arrival_to_end">from arrival to end</option></select></label>
<label>scale <select id="scale">
<option value="nines">by nines</option>
<option value="linear">linear</option></select></label>
</div>
<p id="about"></p>
<ul id="findings"></ul>
<h2>Latency of each class</h2>
<p class="soft">The part of all times (upwards) that is at most so long (to the right). One line a policy; lines that lie
upon each other are equal.</p>
<div class="legend" id="policies"></div>
<div class="panels" id="curves"></div>
<h2>Who had the processor</h2>
<p class="soft">The whole run under each policy: the processor's time by class; what is left is idle.</p>
<div class="legend" id="classes"></div>
<div class="panel" id="overview"></div>
<h2>Who ran when</h2>
<p class="soft">From the middle of the run on, under the chosen policy.</p>
<div class="panel" id="timeline"></div>
<h2>Waits over priority</h2>
<p class="soft">From ready to run, by the effective priority at which a step ran; lower is more urgent. Line: p99; dots:
the longest.</p>
<div class="panel" id="waits"></div>
<h2>Figures</h2>
<div class="table"><table id="figures"></table></div>
<p class="soft">bound: what ran before a job of this class became ready this much later than the bound of aging allows.
inverted: waits for a lock while something less urgent ran that did not hold it up. open: not done at the end.</p>
</main>
<div id="tip" hidden></div>
)html";
}

}  // namespace policylab
