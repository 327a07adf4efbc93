/** What a retriever would find. */
export const pages = [
  {
    id: 'fares',
    title: 'Fares and tickets',
    content: `<!doctype html><title>Fares and tickets</title>
<nav><a href="/">Home</a> <a href="/jobs">Work with us</a> <a href="/press">Press</a></nav>
<main><h1>Fares and tickets</h1>
<p>Tickets are sold at the quay, on board and in the app. All of them are valid for a year.</p>
<table><tr><th>Ticket</th><th>Adult</th><th>Child</th></tr>
<tr><td>Single</td><td>4.20</td><td>2.10</td></tr><tr><td>Day return</td><td>7.50</td><td>3.75</td></tr></table>
<p>Bicycles travel free of charge on weekdays, and for 2.00 at weekends. Dogs are welcome on deck.</p></main>
<footer>We use cookies to improve your crossing. © Harbour Line</footer>`,
  },
  {
    id: 'ships',
    title: 'Our ships',
    content: `# Our ships

The Rowan was built in 1987 at the yard of Dr. J. K. Oduya. Her engine was replaced in 2011.
She carries 220 passengers and a crew of six. The café on her upper deck opens at eight.

The Alder is the younger of the two. Her car deck takes 34 cars and 4 coaches.`,
  },
  {
    id: 'winter',
    title: 'Winter timetable',
    content: `The Harbour Line sails every hour from 6:00 to 21:00, every day of the year except on 24 December.
In storms of force 9 and above crossings are cancelled. Tickets for cancelled crossings are refunded within a week.`,
  },
];
