"""How the report looks on a screen and on paper."""

STYLE = """
:root { --ink: #1c2430; --faint: #5c6675; --line: #d9dee5; --ground: #ffffff; --band: #f4f6f9; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--ground); line-height: 1.5;
  font: 15px/1.5 "Segoe UI", "Helvetica Neue", Helvetica, Arial, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 0 28px 60px; }
header { background: #12304a; color: #fff; padding: 30px 0 26px; margin-bottom: 26px; }
header div { max-width: 1080px; margin: 0 auto; padding: 0 28px; }
h1 { margin: 0 0 4px; font-size: 27px; font-weight: 600; }
header p { margin: 0; color: #c9d8e6; }
h2 { margin: 44px 0 12px; font-size: 20px; font-weight: 600;
  border-bottom: 2px solid var(--accent); padding-bottom: 4px; }
h3 { margin: 26px 0 8px; font-size: 16px; font-weight: 600; }
nav { margin: 0 0 8px; } nav a { margin-right: 18px; white-space: nowrap; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 8px 0 18px; }
.tile { flex: 1 1 130px; background: var(--band); border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; font-size: 24px; font-weight: 600; } .tile span { color: var(--faint); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 9px; text-align: right; border-bottom: 1px solid var(--line); }
td.text, th.text { text-align: left; }
th { color: var(--faint); font-weight: 600; border-bottom: 2px solid var(--line);
  vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; } tbody tr:hover { background: var(--band); }
td.best { font-weight: 700; } .whole { white-space: nowrap; }
.beside { display: grid; grid-template-columns: repeat(auto-fill, minmax(460px, 1fr)); gap: 0 40px; }
.beside > div { min-width: 0; }
.note { color: var(--faint); font-size: 13px; margin: 6px 0 0; }
figure { margin: 18px 0 26px; } figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--faint); font-size: 13px; }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 20px; }
.case { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; break-inside: avoid; }
.view { position: relative; background: #111; } .view img { display: block; width: 100%; height: auto; }
.view i, .view b { position: absolute; color: #fff; font: 600 12px sans-serif; text-shadow: 0 0 3px #000; }
.view b { left: 10px; bottom: 8px; border-bottom: 3px solid #fff; text-align: center;
  white-space: nowrap; }
.case p { margin: 0; padding: 8px 12px; font-size: 13px; } .case p + p { padding-top: 0; color: var(--faint); }
.key { margin-bottom: 12px; }
.key span { display: inline-block; width: 22px; height: 4px; vertical-align: middle; margin: 0 6px 0 14px; }
dl { font-size: 13.5px; } dt { font-weight: 600; margin-top: 8px; } dd { margin: 0; color: var(--faint); }
footer { margin-top: 50px; padding-top: 12px; border-top: 1px solid var(--line); color: var(--faint); font-size: 13px; }
:target { outline: 3px solid #e69f00; }
@media print { header { background: none; color: #000; padding: 0; } header p { color: #444; } nav { display: none; }
  body { font-size: 11px; } table { font-size: 10px; } th, td { padding: 3px 5px; } h2, h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .scroll { overflow: visible; } h2 + .note { break-after: avoid; }
  .cases { grid-template-columns: repeat(4, 1fr); gap: 10px; } .case p { padding: 4px 6px; }
  .tile { flex-basis: 90px; padding: 8px 10px; } .tile b { font-size: 17px; } .tile span { font-size: 10px; }
  figure { margin: 8px 0; } figure img { max-height: 92mm; } .note, figcaption, dl { font-size: 10px; }
  .case p { font-size: 9px; }
  a { color: inherit; }
  .view, .tile { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .screen { display: none; }
  .beside { grid-template-columns: repeat(2, 1fr); gap: 0 20px; } .beside > div { break-inside: avoid; }
  #all-cases + div td { padding: 1px 5px; } }
"""
