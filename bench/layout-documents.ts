/** Documents of the kinds that answers seldom stand in as a sentence: our own, by name. */
export const LAYOUT_DOCUMENTS: Readonly<Record<string, string>> = {
  pricing: `<h1>Plans</h1><p>Choose the plan that suits your team. All plans come with a 14-day trial and can be cancelled at any time.</p>
<table><tr><th>Feature</th><th>Free</th><th>Team</th><th>Enterprise</th></tr><tr><td>Price per seat</td><td>$0</td><td>$12</td><td>Contact us</td></tr><tr><td>Projects</td><td>3</td><td>50</td><td>Unlimited</td></tr><tr><td>SSO</td><td>No</td><td>No</td><td>Yes</td></tr><tr><td>Audit log retention</td><td>7 days</td><td>90 days</td><td>2 years</td></tr><tr><td>Support</td><td>Forum</td><td>E-mail, one business day</td><td>Phone, 24/7</td></tr></table>
<h2>Discounts</h2><p>Schools and charities get half off. Write to sales from your school address.</p><h2>Refunds</h2><p>We refund yearly plans in the first 30 days.</p>`,
  api: `# Uploads API

The uploads API stores files up to 5 GB. Files are kept in the region of the account.

## POST /v1/uploads

Creates an upload.

| Parameter | Type | Required | Description |
| --- | --- | --- | --- |
| name | string | yes | File name, at most 255 characters |
| ttl | integer | no | Seconds until the file is deleted; default 86400 |
| visibility | string | no | \`private\` or \`public\` |

\`\`\`sh
curl -X POST https://api.example.com/v1/uploads -F name=report.pdf -F ttl=3600
\`\`\`

### Errors

- 413: the file is larger than 5 GB
- 415: the type is not allowed
- 429: more than 100 requests a minute; wait as long as \`Retry-After\` says

## GET /v1/uploads/:id

Returns the metadata.

## Authentication

Send the key as a bearer token:

\`\`\`http
Authorization: Bearer KEY
\`\`\`

Keys are rotated in the dashboard under Settings.`,
  changelog: `# Changelog

## 3.2.0 (2024-05-02)

### Added
- Dark mode for the editor
- Export to EPUB

### Fixed
- A crash when a table has no rows (#812)

## 3.1.0 (2024-02-11)

### Added
- Two-factor login

### Removed
- Support for Node 16

## 3.0.0 (2023-11-20)

### Changed
- The configuration file is now \`site.toml\`; run \`site migrate\` to convert the old one
- Licence is MPL 2.0`,
  recipe: `<h1>Leek and potato soup</h1><p>My grandmother made this every autumn, when the garden gave more leeks than anyone could eat. It freezes well.</p><p>Prep 15 min | Cook 30 min | Serves 4</p>
<h2>Ingredients</h2><ul><li>3 leeks</li><li>400 g floury potatoes</li><li>1 l vegetable stock</li><li>100 ml cream</li><li>salt, nutmeg</li></ul>
<h2>Method</h2><ol><li>Slice the leeks and sweat them in butter for ten minutes without colour.</li><li>Add the potatoes and the stock and simmer for 20 minutes.</li><li>Blend, stir in the cream, season.</li></ol>
<h2>Tips</h2><p>For a vegan version use oat cream and oil in place of butter.</p>`,
  forum: `<h1>Laptop does not wake from sleep</h1><div class="post"><p>posted by kara on 3 May</p><p>Since the last kernel update my laptop does not wake from sleep. The fan runs, the screen stays black. I have tried an older BIOS. Any ideas?</p></div>
<div class="post"><p>posted by jun on 3 May</p><p>Same here on the 7840U. Booting the old kernel helps.</p></div>
<div class="post accepted"><p>posted by mo on 4 May</p><p>Add <code>amdgpu.dcdebugmask=0x10</code> to the kernel parameters and run <code>update-grub</code>. It was fixed in 6.9.2.</p></div>
<div class="post"><p>posted by kara on 4 May</p><p>That did it, thanks!</p></div>`,
  contract: `SERVICES AGREEMENT

1. Term. This agreement begins on 1 March 2024 and runs for two years. It renews by one year unless a party gives notice.

2. Notice. Notice of termination is given in writing three months before the end of the term.

3. Fees. The Client pays 4,500 euros a month, due within 30 days of the invoice. Late payments bear interest of five percentage points above the base rate.

4. Liability. The Provider is liable without limit for intent and gross negligence. For slight negligence liability is limited to the fees of six months.

5. Governing law. This agreement is governed by the laws of Ireland; the courts of Dublin have jurisdiction.

6. Confidentiality. Each party keeps the other's confidential information secret for five years after the end of this agreement.`,
  timetable: `<h1>Line 4, Harbour to Hill</h1><p>Valid from 10 December. No service on 25 December.</p>
<table><caption>Monday to Friday</caption><tr><th>Stop</th><th>1st</th><th>2nd</th><th>3rd</th></tr><tr><td>Harbour</td><td>06:10</td><td>07:40</td><td>09:10</td></tr><tr><td>Market</td><td>06:18</td><td>07:48</td><td>09:18</td></tr><tr><td>Hill</td><td>06:31</td><td>08:01</td><td>09:31</td></tr></table>
<table><caption>Sunday</caption><tr><th>Stop</th><th>1st</th><th>2nd</th></tr><tr><td>Harbour</td><td>09:00</td><td>12:00</td></tr><tr><td>Hill</td><td>09:21</td><td>12:21</td></tr></table><p>Bicycles travel free after nine.</p>`,
  email: `From: Ana Ruiz <ana@example.com>
To: ops@example.com
Date: Tue, 4 Jun 2024
Subject: Maintenance window

Hi all,

we will move the database to the new cluster on Saturday, 8 June, between 22:00 and 02:00 UTC. The site is read-only in that time.

Action needed:
- stop the importers by 21:30
- set the banner on the status page
- tell the call centre

If anything goes wrong, call Ben on 0170 555 0199.

Best
Ana`,
  spec: `<h1>Kestrel 300 drill</h1><p>The Kestrel 300 is made for workshops that want one drill for everything. Its brushless motor needs no care.</p>
<h2>Technical data</h2><dl><dt>Voltage</dt><dd>18 V</dd><dt>Torque</dt><dd>65 Nm</dd><dt>Weight</dt><dd>1.6 kg with battery</dd><dt>Chuck</dt><dd>1.5 to 13 mm</dd></dl>
<h2>In the box</h2><ul><li>drill</li><li>two 4 Ah batteries</li><li>charger</li><li>case</li></ul><h2>Warranty</h2><p>Three years; five when you register within 30 days.</p>`,
  orders: JSON.stringify(
    {
      orders: [
        {
          id: 'A-1',
          customer: 'Lind',
          status: 'shipped',
          carrier: 'DHL',
          tracking: 'JD0146',
          items: [{ sku: 'K300', qty: 2 }],
        },
        { id: 'A-2', customer: 'Okoro', status: 'pending payment', items: [{ sku: 'B10', qty: 1 }] },
        {
          id: 'A-3',
          customer: 'Sato',
          status: 'returned',
          reason: 'wrong size',
          items: [{ sku: 'T5', qty: 4 }],
        },
      ],
    },
    null,
    2,
  ),
  towns: `city,country,population,mayor
Alden,Norland,120400,I. Berg
Birk,Norland,88000,M. Aune
Carrow,Westmark,301200,T. Dale
Dunmore,Westmark,45100,P. Fenn
Eskdale,Norland,19900,R. Holt`,
  interview: `<h1>“We build for the long run”</h1><p>Mira Holt has led the shipyard since 2015. We met her in Leith.</p>
<p><strong>What was the hardest year?</strong></p><p>2020, without doubt. We had three hulls on the slip and nobody could come to work.</p><p>We sold the dry dock to pay the wages.</p>
<p><strong>And what comes next?</strong></p><p>Electric ferries. The first goes to Innis in 2026.</p><p><strong>Where do you find welders?</strong></p><p>We train them ourselves, twelve a year.</p>`,
};

export interface LayoutQuestion {
  /** Name of the document that answers. */
  readonly document: string;
  readonly question: string;
  /** All of them, as they stand there, are the answer. */
  readonly answers: readonly string[];
}

export const LAYOUT_QUESTIONS: readonly LayoutQuestion[] = (
  [
    ['pricing', 'How long are audit logs kept on the Team plan?', '90 days'],
    ['pricing', 'Which plan has single sign-on (SSO)?', 'Enterprise'],
    ['pricing', 'Is there a discount for schools?', 'half off'],
    ['pricing', 'Can I get my money back?', '30 days'],
    ['pricing', 'What does a seat cost in the Team plan?', '$12'],
    ['api', 'What is the default ttl of an upload?', '86400'],
    ['api', 'What does error 429 mean?', '100 requests'],
    ['api', 'How do I authenticate?', 'Authorization: Bearer'],
    ['api', 'How large may a file be?', '5 GB'],
    ['api', 'Show an example of creating an upload with curl', 'curl -X POST'],
    ['changelog', 'In which version was two-factor login added?', '3.1.0'],
    ['changelog', 'What did 3.2.0 add?', 'Dark mode', 'EPUB'],
    ['changelog', 'How do I convert the old configuration file?', 'site migrate'],
    ['changelog', 'When did they drop Node 16?', '3.1.0', 'Node 16'],
    [
      'recipe',
      'Which ingredients does the leek and potato soup need?',
      '3 leeks',
      '400 g',
      'stock',
      'cream',
      'nutmeg',
    ],
    ['recipe', 'How do I make leek and potato soup?', 'Slice', 'simmer', 'Blend'],
    ['recipe', 'How do I make it vegan?', 'oat cream'],
    ['recipe', 'How many people does it serve?', 'Serves 4'],
    ['forum', 'How do I fix a laptop that does not wake from sleep?', 'dcdebugmask'],
    ['forum', 'In which kernel was the wake problem fixed?', '6.9.2'],
    ['contract', 'How long is the notice period?', 'three months'],
    ['contract', 'What is the monthly fee?', '4,500'],
    ['contract', 'Which courts have jurisdiction?', 'Dublin'],
    ['contract', 'How is liability limited?', 'six months'],
    ['timetable', 'When does the first bus leave the harbour on Sunday?', '09:00'],
    ['timetable', 'When does the second weekday bus reach the Hill?', '08:01'],
    ['timetable', 'Can I take a bicycle?', 'after nine'],
    ['email', 'What has to be done before the maintenance?', 'importers', 'banner', 'call centre'],
    ['email', 'When is the maintenance window?', '22:00'],
    ['email', 'Whom do I call if something goes wrong?', 'Ben'],
    ['spec', 'How much torque does the Kestrel 300 have?', '65 Nm'],
    ['spec', 'What is in the box?', 'two 4 Ah', 'charger', 'case'],
    ['spec', 'How long is the warranty?', 'Three years'],
    ['spec', 'How heavy is it?', '1.6 kg'],
    ['orders', 'What is the status of the order of Okoro?', 'pending payment'],
    ['orders', 'Why was order A-3 returned?', 'wrong size'],
    ['orders', 'What is the tracking number of A-1?', 'JD0146'],
    ['towns', 'Who is the mayor of Carrow?', 'T. Dale'],
    ['towns', 'What is the population of Eskdale?', '19900'],
    ['interview', 'What was the hardest year for the shipyard?', '2020', 'dry dock'],
    ['interview', 'Where do they find welders?', 'twelve a year'],
    ['interview', 'What comes next for the shipyard?', 'Electric ferries'],
  ] as const
).map(([document, question, ...answers]) => ({ document, question, answers }));
