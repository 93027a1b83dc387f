"""Sentences in many languages, and the encodings that each is often kept in."""

SENTENCES = {
    "french": (
        "Parfois, à peine ma bougie éteinte, mes yeux se fermaient si vite "
        "que je n'avais pas le temps de me dire : « Je m'endors. » Et, une "
        "demi-heure après, la pensée qu'il était temps de chercher le "
        "sommeil m'éveillait. L'État, où les élèves étaient reçus à Noël, "
        "c'était déjà l'été; CAFÉ».\n"
    ),
    "german": (
        "Als Gregor Samsa eines Morgens aus unruhigen Träumen erwachte, "
        "fand er sich in seinem Bett zu einem ungeheueren Ungeziefer "
        "verwandelt. »Was ist mit mir geschehen?«, dachte er. Es war kein "
        "Traum. Größe, Übermut, ÄÖÜ, weiß, 20 m³ Wasser, 5 °C, ½ Liter.\n"
    ),
    "spanish": (
        "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no "
        "ha mucho tiempo que vivía un hidalgo de los de lanza en "
        "astillero. ¿Qué pasó mañana? ¡Ay, señor! También el pingüino, "
        "según él, comió jamón.\n"
    ),
    "portuguese": (
        "A coração não é só um órgão; às vezes é também a razão das "
        "ilusões. Você não está cansado? Amanhã haverá pães, maçãs, avós e "
        "avôs.\n"
    ),
    "polish": (
        "Litwo! Ojczyzno moja! ty jesteś jak zdrowie: Ile cię trzeba "
        "cenić, ten tylko się dowie, Kto cię stracił. Dziś piękność twą w "
        "całej ozdobie Widzę i opisuję, bo tęsknię po tobie. Zażółć gęślą "
        "jaźń.\n"
    ),
    "czech": (
        "Byl pozdní večer – první máj – večerní máj – byl lásky čas. "
        "Hrdliččin zval ku lásce hlas, kde borový zaváněl háj. O lásce "
        "šeptal tichý mech. Příliš žluťoučký kůň úpěl ďábelské ódy.\n"
    ),
    "hungarian": (
        "Árvíztűrő tükörfúrógép. Sándor Petőfi: Föltámadott a tenger, a "
        "népek tengere; ijesztve eget-földet, szilaj hullámokat vet rémítő "
        "ereje. Látjátok ezt a táncot?\n"
    ),
    "swedish": (
        "Det var en gång en katt som hette Måns. Flickan gick över ån för "
        "att få äpplen på ön, och så småningom började det mörkna över "
        "skogen. Å ÄR DET.\n"
    ),
    "turkish": (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. "
        "Akıl ve vicdana sahiptirler ve birbirlerine karşı kardeşlik "
        "zihniyeti ile hareket etmelidirler. İçki, ığdır, şüphe.\n"
    ),
    "vietnamese": (
        "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm "
        "và quyền lợi. Mọi con người đều được tạo hóa ban cho lý trí và "
        "lương tâm và cần phải đối xử với nhau trong tình bằng hữu.\n"
    ),
    "icelandic": (
        "Hver maður er borinn frjáls og jafn öðrum að virðingu og "
        "réttindum. Menn eru gæddir vitsmunum og samvizku, og ber þeim að "
        "breyta bróðurlega hverjum við annan. ÞAÐ ER ÞÁ.\n"
    ),
    "russian": (
        "Все счастливые семьи похожи друг на друга, каждая несчастливая "
        "семья несчастлива по-своему. Всё смешалось в доме Облонских. Жена "
        "узнала, что муж был в связи с бывшею в их доме "
        "француженкою-гувернанткой, и объявила мужу, что не может жить с "
        "ним в одном доме.\n"
    ),
    "ukrainian": (
        "Всі люди народжуються вільними і рівними у своїй гідності та "
        "правах. Вони наділені розумом і совістю і повинні діяти у "
        "відношенні один до одного в дусі братерства. Її їжа, ґанок, "
        "єдність.\n"
    ),
    "bulgarian": (
        "Всички хора се раждат свободни и равни по достойнство и права. Те "
        "са надарени с разум и съвест и следва да се отнасят помежду си в "
        "дух на братство.\n"
    ),
    "serbian": (
        "Сва људска бића рађају се слободна и једнака у достојанству и "
        "правима. Она су обдарена разумом и свешћу и треба једни према "
        "другима да поступају у духу братства.\n"
    ),
    "greek": (
        "Τη γλώσσα μου έδωσαν ελληνική· το σπίτι φτωχικό στις αμμουδιές "
        "του Ομήρου. Μονάχη έγνοια η γλώσσα μου στις αμμουδιές του Ομήρου.\n"
    ),
    "hebrew": (
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו "
        "בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה.\n"
    ),
    "arabic": (
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا "
        "وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء.\n"
    ),
    "thai": (
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ "
        "ต่างมีเหตุผลและมโนธรรม "
        "และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ\n"
    ),
    "hindi": (
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता "
        "और समानता प्राप्त है। उन्हें बुद्धि और अन्तरात्मा की देन प्राप्त "
        "है।\n"
    ),
    "japanese": (
        "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
        "何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶して"
        "いる。\n"
    ),
    "chinese": (
        "关关雎鸠，在河之洲。窈窕淑女，君子好逑。参差荇菜，左右流之。人人生"
        "而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系"
        "的精神相对待。\n"
    ),
    "traditional": (
        "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄"
        "弟關係的精神相對待。\n"
    ),
    "korean": (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 "
        "동등하다. 인간은 천부적으로 이성과 양심을 부여받았으며 서로 "
        "형제애의 정신으로 행동하여야 한다.\n"
    ),
    "emoji": "So funny 😀😃 — I can’t… “really” €5 ™ © 2024 naïve café\n",
    "maths": "∀x∈ℝ: x² ≥ 0 ∧ √2 ≈ 1.414; α + β ≠ γ → ∞ ± ½ × ÷\n",
}
_WESTERN = ("french", "german", "spanish", "portuguese", "swedish", "icelandic")
_CYRILLIC = ("russian", "ukrainian", "bulgarian", "serbian")
ENCODINGS = {
    "cp1252": _WESTERN,
    "latin-1": _WESTERN,
    "iso8859-15": ("french", "german"),
    "mac-roman": ("french", "german"),
    "cp850": ("german", "spanish"),
    "cp1250": ("polish", "czech", "hungarian", "german"),
    "iso8859-2": ("polish", "czech", "hungarian"),
    "cp1251": _CYRILLIC,
    "koi8-r": ("russian", "bulgarian"),
    "koi8-u": ("ukrainian",),
    "cp866": ("russian",),
    "iso8859-5": ("russian", "serbian", "bulgarian"),
    "mac-cyrillic": ("russian",),
    "cp1253": ("greek",),
    "iso8859-7": ("greek",),
    "cp1254": ("turkish",),
    "iso8859-9": ("turkish",),
    "cp1255": ("hebrew",),
    "cp1256": ("arabic",),
    "cp874": ("thai",),
    "cp932": ("japanese",),
    "euc-jp": ("japanese",),
    "iso2022-jp": ("japanese",),
    "gb18030": ("chinese", "traditional", "japanese"),
    "big5": ("traditional",),
    "cp949": ("korean",),
    "euc-kr": ("korean",),
}
