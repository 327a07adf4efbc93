/** Kinds of words that carry facts, whatever an embedding makes of them. */
export type WordClass = 'number' | 'unit' | 'negation' | 'modal';

/**
 * Words of the languages in Latin script that XQuAD has (English, German, Spanish, Romanian, Turkish, Vietnamese) and of
 * French, Italian, Portuguese and Dutch. One list for all: a word that means this in any of them stays in all of them.
 * Left out are those that are everyday words elsewhere: Turkish on (ten), Italian due (two).
 */
const WORDS: Readonly<Record<WordClass, string>> = {
  number: `
zero one two three four five six seven eight nine ten eleven twelve hundred hundreds thousand thousands million millions billion
billions trillion trillions dozen dozens half halves quarter quarters double triple twice thrice once single pair couple first second
third fourth fifth sixth seventh eighth ninth tenth last
null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf hundert tausend million millionen milliarde milliarden dutzend
halb halbe halber halbes hälfte viertel drittel doppelt zweimal dreimal erste erster erstes ersten zweite zweiter zweites zweiten dritte
dritter drittes dritten letzte letzter letztes letzten
dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince veinte treinta cuarenta cincuenta sesenta setenta ochenta
noventa cien ciento cientos mil miles millón millones mitad doble primer primero primera segundo segunda tercer tercero tercera último
última
deux trois quatre cinq sept huit neuf dix onze douze treize quatorze quinze seize vingt trente quarante cinquante soixante cent cents
mille millions milliard milliards moitié demi demie double premier première seconde deuxième troisième dernier dernière
tre quattro cinque sei sette otto nove dieci undici dodici venti trenta quaranta cinquanta cento milione milioni miliardo miliardi metà
primo prima secondo seconda terzo terza ultimo ultima
dois duas três quatro sete oito dez onze doze vinte trinta quarenta cem cento milhão milhões bilhão metade primeiro primeira terceiro
twee drie vijf zes zeven negen tien twaalf honderd duizend miljoen miljard eerste tweede derde laatste helft
doi două trei patru cinci șase șapte opt nouă zece sută sute mie mii milion milioane miliard miliarde jumătate primul prima doilea ultimul
bir iki üç dört beş altı yedi sekiz dokuz yirmi otuz kırk yüz milyon milyar yarım yarısı ilk birinci ikinci üçüncü
một hai ba bốn năm sáu bảy tám chín mười trăm nghìn ngàn triệu tỷ nửa nhất nhì`,
  unit: `
percent percentage per degree degrees celsius fahrenheit kelvin
mm cm dm km kg mg lb lbs oz ft yd mi mph kph kmh hz khz mhz ghz kb mb gb tb kw mw gw kwh ml cl dl ha
meter meters metre metres centimeter centimeters centimetre centimetres kilometer kilometers kilometre kilometres millimeter millimeters
millimetre millimetres mile miles foot feet inch inches yard yards acre acres hectare hectares gram grams kilogram kilograms ton tons tonne
tonnes pound pounds ounce ounces liter liters litre litres gallon gallons watt watts volt volts joule joules byte bytes
dollar dollars cent euro euros pence yen
hour hours minute minutes seconds day days week weeks month months year years decade decades century centuries
prozent grad meter kilometer zentimeter meile meilen pfund tonne tonnen stunde stunden minute minuten sekunde sekunden tag tage tagen woche
wochen monat monate monaten jahr jahre jahren jahrhundert januar februar märz april mai juni juli august
porcentaje grado grados metro metros kilómetro kilómetros milla millas libra libras tonelada toneladas hora horas minuto minutos segundos
día días semana semanas mes meses año años siglo siglos
enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre
pour-cent pourcent degré degrés mètre mètres kilomètre kilomètres heure heures seconde secondes jour jours semaine semaines mois ans année
années siècle siècles janvier février mars avril mai juin juillet août septembre octobre novembre décembre
percento gradi metri chilometri ore minuti giorno giorni settimana settimane mese mesi anno anni secolo gennaio febbraio aprile maggio giugno
luglio settembre ottobre dicembre
cento graus quilômetros dias mês ano anos século janeiro fevereiro março maio junho julho setembro outubro novembro dezembro
procent uur uren dag dagen maand maanden jaar jaren eeuw januari februari maart mei augustus
oră ore zi zile săptămână lună luni ani secol ianuarie februarie martie aprilie iunie iulie septembrie octombrie noiembrie decembrie
yüzde saat dakika gün hafta yıl yüzyıl ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık
phần giờ phút giây ngày tuần tháng thế kỷ`,
  negation: `
no not none never nobody nothing nowhere neither nor without cannot hardly scarcely barely rarely seldom unless except lack lacks lacked
lacking fail fails failed deny denies denied refuse refuses refused unlike only
nicht kein keine keiner keines keinem keinen nie niemals niemand niemandem niemanden nichts nirgends nirgendwo ohne weder kaum außer nur
ni nunca jamás nada nadie ningún ninguno ninguna tampoco sin salvo excepto apenas solo sólo solamente
ne pas jamais rien aucun aucune sans ni non nul nulle personne guère nullement sauf seulement
non né mai niente nulla nessun nessuno nessuna senza neanche nemmeno mica solo soltanto
não nem jamais nenhum nenhuma ninguém sem exceto somente apenas
niet geen nooit niemand niets nergens zonder noch slechts alleen
nu nici niciodată nimic nimeni niciun nicio fără decât doar numai
değil yok hiç hiçbir asla ne sadece yalnızca olmadan
không chưa chẳng chả đừng chớ chỉ`,
  modal: `
can could may might must shall should will would ought need needs needed able unable likely unlikely possible possibly perhaps probably maybe
allegedly reportedly
kann kannst könnt können konnte konnten könnte könnten darf dürfen durfte durften dürfte dürften muss musst müsst müssen musste mussten müsste
müssten soll sollen sollte sollten mag mögen möchte möchten wird werden würde würden wohl vielleicht möglich möglicherweise wahrscheinlich
angeblich
puede pueden podía podían podrá podrán podría podrían pudo debe deben debía debían deberá deberán debería deberían quizá quizás posible posiblemente
probablemente
peut peuvent pouvait pouvaient pourra pourront pourrait pourraient doit doivent devait devaient devra devront devrait devraient faut fallait
faudrait possible probablement
può possono poteva potevano potrebbe potrebbero deve devono doveva dovevano dovrebbe dovrebbero forse
pode podem podia podiam poderia poderiam deve devem devia deveria deveriam talvez
kan kunnen kon konden zou zouden moet moeten moest moesten mag mogen zal zullen misschien
poate pot putea puteau trebuie trebuia ar vor va
belki gerek lazım
thể phải nên cần sẽ`,
};

/** Forms that no list holds. */
const FORMS: readonly (readonly [WordClass, RegExp])[] = [
  ['number', /\p{N}/u],
  [
    'number',
    /^(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\p{L}+)?$|^(?:thir|four|fif|six|seven|eigh|nine)teen/u,
  ],
  ['number', /tieth$|(?:hundred|thousand|million)th$|ième$/u],
  // zweiundzwanzig, dreißig, fünfhunderter
  ['number', /(?:zig|ßig|zehn|hundert|tausend)(?:st)?(?:e|er|es|en|em)?$/u],
  ['negation', /n['’]t$|^(?:kein|ningun|nenhum|niciun)|^n['’]\p{L}/u],
  // Turkish negates in the verb: bilmiyor, gelmedi, olmaz, yapılmamış.
  ['negation', /m[ıiuü]yor|\p{L}{2}m[ae](?:d[ıi]|mış|miş|z|y[ae]c[ae][kğ]|y[ae]n|d[ae]n)\p{L}{0,4}$/u],
  ['modal', /['’](?:ll|d)$/u],
  // Turkish: yapabilir, gelmeli
  ['modal', /[ae]bil(?:ir|di|ecek|iyor|en)|m[ae]l[ıi](?:d[ıi]r)?$/u],
];

let classes: ReadonlyMap<string, WordClass> | undefined;

/** @param word without the marks that touch it */
export function wordClass(word: string): WordClass | undefined {
  classes ??= new Map(
    (Object.keys(WORDS) as WordClass[]).flatMap((kind) =>
      WORDS[kind]
        .trim()
        .split(/\s+/)
        .map((each) => [each, kind] as const),
    ),
  );
  const lower = word.normalize('NFC').toLowerCase();
  return classes.get(lower) ?? FORMS.find(([, form]) => form.test(lower))?.[0];
}
