/** Roles and marks of chat protocols, where a line or a text begins with one. */
const TURN =
  /(?:^|\n)\s*(?:[#>*_\s[(<|-]*)(?:system|assistant|user|human|developer|instructions?|ai|systeme?|sistema|système|система|ассистент|системное сообщение|系统|助手|用户|システム|アシスタント|النظام|सिस्टम|시스템)(?:\s+(?:message|prompt|note|update|override|nachricht|mensaje|提示|消息))?[\s\])>|*_]*[:：]/iu;
const PROTOCOL =
  /<\|[\w\s-]{2,40}\|>|\[\/?(?:INST|SYS|SYSTEM)\]|<<\/?SYS>>|<\/?(?:system|assistant|instructions?|user|human|s)>|<(?:start|end)_of_turn>|###\s*(?:instruction|system|response|assistant|human)\b|\b(?:BEGIN|END|NEW)\s+(?:SYSTEM\s+)?(?:PROMPT|INSTRUCTIONS?)\b/iu;

/** What is to be thrown over, by the verbs that ask for it. Both must stand in one text. */
const OVERRIDES: readonly (readonly [verb: RegExp, object: RegExp])[] = [
  [
    /\b(?:ignore|disregard|forget|override|bypass|overlook|neglect|discard|skip|drop|stop following|do not follow|don['’]t follow|pay no attention)\b/iu,
    /\b(?:above|previous|prior|preceding|earlier|foregoing|all|any|your|the|these|those|system)\b.{0,40}\b(?:instructions?|prompts?|rules?|guidelines?|text|context|directions?|directives?|commands?|documents?|messages?|question|told)\b|\b(?:the|all|everything)\s+(?:of the\s+)?(?:above|before|previous)\b|\beverything (?:above|before|you)\b/iu,
  ],
  [
    /\b(?:ignorier\w*|vergiss|vergessen sie|missachte\w*|beachte nicht|übergehe?)\b/iu,
    /\b(?:anweisung\w*|vorherig\w*|bisherig\w*|obig\w*|oben|regeln|alles)\b/iu,
  ],
  [
    /(?<!\p{L})(?:ignor(?:e|ez|er|a|ad|en|ar)|oublie[zr]?|olvid[ae]n?|olvidad|esque[çc]a[m]?|dimentica(?:te)?|négligez|descarta|desconsidere|trascura|negeer|vergeet)(?!\p{L})/iu,
    /(?:instruc|instruç|istruzion|instructie|consignes?|ci-dessus|précédent|anterior|precedent|sopra|arriba|acima|todo lo|tudo o|hierboven|voorgaande|eerdere)/iu,
  ],
  [
    /(?:zignoruj|ignoruj|zapomnij|pomiń|zapomeň)/iu,
    /(?:poleceni|instrukcj|poprzedni|powyższ|pokyny|předchozí|výše)/iu,
  ],
  [/(?:ignorera|glöm|bortse från|ignorer|glem)/iu, /(?:instruktion|ovan|tidigare|instruks|tidligere)/iu],
  [/(?:abaikan|lupakan)/iu, /(?:instruksi|perintah|di atas|sebelumnya)/iu],
  [/(?:ігноруй|забудь|не зважай)/iu, /(?:інструкці|попередн|вище|усе)/iu],
  [/(?:התעלם|התעלמו|שכח)/u, /(?:הוראות|ההוראות|לעיל|הקודמות)/u],
  [/(?:نادیده|فراموش)/u, /(?:دستور|بالا|قبلی)/u],
  [/(?:игнориру|забуд|не обращай|проигнорир|пренебре)/iu, /(?:инструкц|указани|предыдущ|выше|вс[её])/iu],
  [/(?:yok say|görmezden gel|unut|dikkate alma|boş ver)/iu, /(?:talimat|yukarıdaki|önceki|komut|her şey)/iu],
  [/(?:bỏ qua|phớt lờ|quên)/iu, /(?:hướng dẫn|chỉ dẫn|ở trên|trước đó|lệnh)/iu],
  [/(?:ignoră|ignorați|uită|uitați)/iu, /(?:instrucțiuni|de mai sus|anterioare|precedente)/iu],
  [/(?:αγνόησε|αγνοήστε|ξέχασε|ξεχάστε)/iu, /(?:οδηγίες|παραπάνω|προηγούμενες|όλα)/iu],
  [/(?:忽略|无视|忘记|忽視|無視|忘掉|不要理会)/u, /(?:指令|指示|以上|上述|之前|前面|上面|提示|说明|說明)/u],
  [/(?:無視|忘れ|従わない)/u, /(?:指示|命令|上記|以前|前の|これまで|プロンプト)/u],
  [/(?:무시|잊어|따르지)/u, /(?:지시|명령|위의|이전|앞의|프롬프트|모든)/u],
  [/(?:تجاهل|انسَ?|اهمل|تغاضَ?)/u, /(?:التعليمات|الأوامر|السابق|أعلاه|ما سبق)/u],
  [/(?:अनदेखा|भूल जा|नज़रअंदाज़|उपेक्षा)/u, /(?:निर्देश|ऊपर|पिछले|आदेश)/u],
  [/(?:เพิกเฉย|ไม่ต้องสนใจ|ลืม|ละเว้น)/u, /(?:คำสั่ง|ข้างต้น|ก่อนหน้า|คำแนะนำ)/u],
];

/** Where spaces were put into words, or taken from between them. */
const SQUEEZED =
  /(?:ignore|disregard|forget)(?:all|of|the|any|your|these)*(?:previous|prior|above|preceding|earlier)(?:instruction|prompt|rule|text|context|message)/iu;

/** What is said to a model and to no reader of a page. */
const ADDRESSES =
  /\b(?:you are|you['’]re|act as|behave as|pretend (?:to be|you)|from now on,? you)\b.{0,60}\b(?:an? (?:\w+ )?(?:ai|assistant|chatbot|language model|llm|pirate|bot|model)|dan\b|unrestricted|no longer|now (?:an?|in)\b)|\bas an? (?:ai|language model|llm|assistant)\b|\b(?:new|updated|real|actual|hidden|secret|following|important) (?:system )?(?:instructions?|prompt|task)\s*(?:[:.]|is|are|for (?:the|any))|\b(?:dear|hey|hello|attention|note (?:to|for)|message (?:to|for)|instructions? (?:to|for))[,:]? (?:the |all |any )?(?:ai|llms?|assistant|chatbot|language models?|summari[sz]er|model|agent)s?\b|\b(?:when|if|before|while) (?:you )?(?:are )?summari[sz](?:e|ing)\b|\b(?:the|your) (?:summary|answer|reply|response|output) (?:must|should|shall|has to|needs to|is to|will)\b|\b(?:in|from|to|with|of|begin|start|end) (?:your|this|each|every) (?:summary|answer|reply|response|output)\b|\byou (?:were|are|have been) (?:just )?(?:told|given|asked|instructed|programmed)\b|(?:^|[.!:;,]|\band|\bthen) ?(?:reply|respond|answer) with\b|\b(?:answer|respond|reply|summari[sz]e|translate|output|print|repeat)\b.{0,30}\b(?:only with|nothing (?:but|else)|instead|with the (?:word|words|phrase|sentence|text)|exactly|verbatim|the word)\b|\b(?:reveal|print|show|repeat|leak|output) (?:me )?(?:the|your) (?:system )?(?:prompt|instructions)\b|\bsystem (?:prompt|override)\b|\bprompt injection\b|\bjailbreak\b/iu;
const ADDRESSES_ELSEWHERE =
  /\b(?:du bist (?:jetzt|ab sofort|nun)|antworte (?:nur|ausschließlich|stattdessen)|deine (?:neue )?(?:aufgabe|anweisung)|fasse? .{0,30}zusammen|in der zusammenfassung|die zusammenfassung (?:muss|soll))|\b(?:tu es (?:maintenant|désormais)|vous êtes (?:maintenant|désormais)|réponds? (?:seulement|uniquement)|répondez (?:seulement|uniquement)|le résumé doit|dans (?:le|ton|votre) résumé)|\b(?:ahora eres|a partir de ahora|responde (?:solo|sólo|únicamente)|el resumen debe|en (?:el|tu) resumen)|\b(?:agora você é|a partir de agora|responda (?:apenas|somente)|o resumo deve)|\b(?:ora sei|adesso sei|d['’]ora in poi|rispondi (?:solo|soltanto)|il riassunto deve)|\b(?:je bent nu|vanaf nu|antwoord (?:alleen|enkel)|de samenvatting moet)|(?:теперь ты|отныне ты|отвечай только|ответь только|в (?:кратком )?(?:резюме|пересказе)|твоя задача)|(?:artık sen|şu andan itibaren|sadece .{0,40}(?:cevap|yanıt) ver|özet(?:te|in)? )|(?:从现在起|你现在是|只(?:回答|回复|输出)|摘要(?:中|里|必须)|请(?:输出|回复|回答))|(?:今から|あなたは今|とだけ(?:答え|回答|出力)|要約(?:に|では|は必ず)|と(?:出力|回答)して)|(?:지금부터|너는 이제|당신은 이제|라고만|요약(?:에|에는))|(?:أنت الآن|من الآن فصاعد|أجب فقط|أجب بـ|في الملخص)|(?:अब तुम|अब आप|केवल .{0,40}उत्तर|सारांश में)|(?:จากนี้ไปคุณ|ตอนนี้คุณคือ|ตอบว่า|ตอบเฉพาะ|ในบทสรุป)|(?:bây giờ bạn là|từ bây giờ|chỉ trả lời|bản tóm tắt)|(?:acum ești|de acum|răspunde doar)|(?:τώρα είσαι|από τώρα|απάντησε μόνο)/iu;

/**
 * Whether a text speaks to a model that reads it, as injected instructions do, and not to a reader of its page: by marks
 * of chat protocols, and by what it asks for. Such a text is never given to a generator. Letters that are written apart,
 * with marks that do not show or in look-alikes of other scripts are read as what they look like.
 */
export function addressesModel(text: string): boolean {
  const shown = plain(text);
  return (
    TURN.test(shown) ||
    PROTOCOL.test(shown) ||
    ADDRESSES.test(shown) ||
    ADDRESSES_ELSEWHERE.test(shown) ||
    SQUEEZED.test(shown.replace(/[\s\p{P}]/gu, '')) ||
    OVERRIDES.some(([verb, object]) => verb.test(shown) && object.test(shown))
  );
}

/** Whether a text begins a turn of a conversation: what follows it on the page is part of the turn. */
export function beginsTurn(text: string): boolean {
  const shown = plain(text);
  return TURN.test(shown) || PROTOCOL.test(shown);
}

/** Cyrillic and Greek letters that look like Latin ones. */
const LOOK_ALIKES = new Map(
  'аa еe оo рp сc уy хx іi јj ѕs ԁd ɡg һh οo αa εe'
    .split(' ')
    .map((pair) => [pair.charAt(0), pair.charAt(1)] as const),
);

function plain(text: string): string {
  const visible = text
    .normalize('NFKC')
    .replace(/[\p{Cf}\u034f\u115f\u1160\u17b4\u17b5]/gu, '')
    .replace(/\b(?:\p{L}[ ._-]){4,}\p{L}\b/gu, (spelt) => spelt.replace(/[ ._-]/g, ''));
  // Only inside words that are Latin for the rest.
  return visible.replace(/[\p{L}\p{M}]+/gu, (word) =>
    /[a-z]/i.test(word) && /[^\p{Script=Latin}\p{M}]/u.test(word)
      ? word.replace(/[^\p{Script=Latin}]/gu, (letter) => LOOK_ALIKES.get(letter) ?? letter)
      : word,
  );
}
