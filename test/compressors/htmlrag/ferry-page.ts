/** A page as sites write them: menus, a table with cells over rows, lists, code, Chinese, references, end tags left out. */
export const ferryPage = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Winter timetable &ndash; Harbour Line</title>
<style>.fares td { color: #333 }</style>
<script>if (1 < 2) track("<p>timetable</p>", 'winter');</script></head>
<body class="page">
<!-- header: see /layout/top.html -->
<header><a href="/" title="Harbour > home"><img src="/logo.svg" alt="Harbour Line"></a>
<nav id="main-nav"><ul><li><a href="/timetable">Timetable</a><li><a href="/fares?lang=en&amp;year=2024">Fares</a>
<li><a href='/jobs'>Jobs</a></ul></nav></header>
<div class="cookie-banner" role="dialog">We use cookies. <button type="button">Accept</button></div>
<main><article><h1>Winter timetable</h1>
<p class=lead>The Harbour Line runs every day&nbsp;&mdash; except on 24&nbsp;December. Caf&eacute; M&uuml;ller on board
serves fish &amp; chips for &#8364;9&#x2e;50 &lt;all day&gt;; R&D pays for it &copy 2024.</p>
<h2>Departures</h2>
<table class="timetable"><caption>From Oban, times are local</caption>
<thead><tr><th>Port<th>Day<th>Leaves</thead>
<tbody><tr><td rowspan="2">Craignure<td>Monday<td>09:00<tr><td>Tuesday<td>10:30
<tr><td>Colonsay<td colspan="2">no ser&shy;vice in winter</tbody></table>
<h2>Before you travel</h2>
<p>Bring these:</p>
<ol start="2"><li>Your ticket, <b>printed</b> or on a phone<li>A <i>valid</i> passport
<ul><li>adults: ten years<li>children: five years</ul>
<li>Warm clothes<p>The deck is open.</ol>
<h3>For developers</h3>
<p>Times come as JSON:
<pre><code class="language-sh">curl -s https://ferry.example/api?day=1&amp;port=oban |
  jq '.[] | select(.leaves &lt; "10:00")'
</code></pre>
<dl><dt>Length<dd>48.5&nbsp;m<dt>Master<dt>Captain<dd>J. K. Od&#250;ya</dl>
<h2 lang="zh">\u6e21\u8f6e\u65f6\u523b\u8868</h2>
<p lang="zh">\u6e21\u8f6e\u6bcf\u5929\u5f00\u51fa\uff0c\u5341\u4e8c\u6708\u4e8c\u5341\u56db\u65e5\u9664\u5916\u3002<br>\u72d7\u514d\u8d39\u4e58\u8239\u3002</p>
<blockquote><p>\ud83d\udea2 The quietest crossing of the west.</p></blockquote>
<figure><img src="/rowan.jpg" alt="The Rowan"><figcaption>The Rowan at Troon, 1987</figcaption></figure>
</article></main>
<aside class="sidebar"><h2>Related</h2><p>Trains to Glasgow<p hidden>Old news</aside>
<noscript>Please turn on scripts.</noscript>
<template><p>Row template</p></template>
<footer><p>&copy; Harbour Line. All rights reserved. <a href="/privacy">Privacy</a></p></footer>
</body></html>
`;
