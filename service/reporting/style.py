"""How a review's page looks: light and dark, on paper, and on a narrow screen."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6573;--paper:#fff;--card:#f6f7f9;
--line:#dfe3e8;--warn:#fff3d6;--warnline:#e0a100;
--c0:#2f6fb7;--c1:#e08a1e;--c2:#3f9c6b;--c3:#b5476c;--c4:#7a5fc0;--c5:#8a6d3b;--c6:#2a9aa8;
--c7:#7d8894}
@media (prefers-color-scheme:dark){:root{--ink:#e8ebf0;--soft:#a3adba;--paper:#12161c;
--card:#1b2129;
--line:#323b47;--warn:#3a3013;--warnline:#c79a25;
--c0:#6aa5e8;--c1:#f0a850;--c2:#66c191;--c3:#e07f9f;--c4:#a893e8;--c5:#c2a36d;--c6:#5cc4d1;
--c7:#a5afba}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1160px;margin:0 auto;padding:20px 16px 48px}
h1{font-size:26px;margin:0}h2{font-size:19px;margin:32px 0 0}h3{font-size:16px;margin:0 0 4px}
header p,.under{color:var(--soft);margin:2px 0 12px}
p{margin:4px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:8px;
margin:16px 0 0}
.tiles div{background:var(--card);border-radius:8px;padding:8px 12px}
dt{color:var(--soft);font-size:13px}dd{margin:0;font-size:17px;font-weight:600}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));gap:12px}
.panel{background:var(--card);border-radius:8px;padding:10px;max-width:520px}
.panel svg{display:block;width:100%;max-width:500px;height:auto}
svg text{font-size:11px;fill:var(--ink)}svg .axis{fill:var(--soft);font-size:10.5px}
svg .head{font-size:13px;font-weight:600}svg .grid{stroke:var(--line);stroke-width:1}
article{background:var(--card);border-radius:8px;padding:12px 14px;margin:10px 0;
overflow-wrap:anywhere}
.missing{background:var(--warn);border-left:4px solid var(--warnline);border-radius:8px;
padding:4px 16px 10px;margin-top:16px}.missing h2{margin-top:8px;font-size:16px}
ul{margin:4px 0;padding-left:20px}
b{color:var(--soft);font-weight:600;margin-right:4px}
details{margin-top:6px}summary{cursor:pointer;color:var(--soft)}
pre{overflow-x:auto;background:var(--paper);border:1px solid var(--line);border-radius:6px;
padding:10px;font-size:12px;line-height:1.4}
@media print{body{font-size:11px}main{max-width:none;padding:0}article,.panel{break-inside:avoid;
border:1px solid #ccc}.panels{grid-template-columns:1fr 1fr}h2{break-after:avoid}}
"""
