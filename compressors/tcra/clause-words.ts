/** Function words that tell what may be left out of a sentence (summary-guard.ts), of the languages of word-classes.ts. */
const wordSet = (words: string) => new Set(words.trim().split(/\s+/));

/** A sentence may have others than its source, or none. */
export const ARTICLES = wordSet(
  'a an the der die das des dem den ein eine einer eines einem einen le la les un une el los las una il een het',
);

/** Before what is left out may end: of "A and B" is left B. */
export const CONJUNCTIONS = wordSet(
  'and but while whereas then und aber sowie während et mais puis y e pero ma și dar ve en maar и но а',
);

/** May stand for a mark. */
export const ADDITIVE = wordSet('and und et y e en и');

/** What begins another clause, of which the words around a stretch do not speak. */
export const LINKS = wordSet(`
or nor although though because since when where who whom whose which that than as if so yet
oder obwohl weil da wenn wo als dass denn sondern
ou tandis alors lorsque quand où qui que dont car puisque comme
o mientras aunque porque cuando donde quien que cual como sino
или пока хотя потому когда где который которая которые что чем`);

/** What ties the word behind it to those before. */
export const PREPOSITIONS = wordSet(`
of by from to for with against into onto toward towards between among than via per versus
von durch aus zu zum zur für mit gegen in nach an auf bei zwischen als
de du des par à au aux pour avec contre vers entre chez
del por para con contra hacia entre al
от из к для с против между в на по`);

/** Without these the words behind them say more, or something else. */
export const QUALIFIERS = wordSet(`
some few most many several half part certain often usually sometimes occasionally mostly mainly partly partially largely
almost nearly about around approximately roughly over under above below least up until before after more less fewer
former formerly acting deputy vice assistant honorary proposed planned attempted alleged supposed supposedly so-called
fictional potential unsuccessful unsuccessfully unofficial unofficially initially originally temporarily arguably apparently
wrongly falsely said say says claim claims claimed believe believes believed argue argues argued suggest suggests suggested
allege alleges expected thought rumoured rumored
einige manche wenige meisten viele mehrere halb oft meist manchmal fast beinahe etwa rund ungefähr über unter mehr weniger
ehemalige ehemaliger ehemaligen frühere früherer früheren angebliche sogenannte ursprünglich zunächst sagt sagte
certains certaines plusieurs quelques plupart beaucoup souvent parfois presque environ près plus moins ancien ancienne
prétendu initialement
algunos algunas varios varias muchos pocos mayoría casi cerca más menos antiguo supuesto
некоторые многие почти около более менее бывший якобы`);

/** What holds only if something else does. */
export const CONDITIONS = wordSet('if whether provided wenn falls sofern ob si sauf se если');

/** What begins a sentence that somebody else says. */
export const ATTRIBUTIONS = wordSet('according laut zufolge selon según secondo segundo volgens');
