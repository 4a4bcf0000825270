"""Words by which people tell what they want done: a lexicon of our own, by what they hint at."""

from __future__ import annotations

from collections.abc import Mapping

_CUES: Mapping[str, str] = {
    "code": """code function functions bug bugs debug compile compiler script program programming
        python javascript typescript java rust golang kotlin swift php ruby perl bash shell sql
        query queries regex api endpoint json yaml xml html css react vue angular django flask
        fastapi spring node npm pip docker kubernetes k8s helm git commit branch merge rebase
        github gitlab terraform ansible nginx redis postgres postgresql mysql sqlite mongodb
        pandas numpy dataframe class method variable array loop recursion pointer thread async
        await callback exception traceback stacktrace refactor unit test tests pytest junit
        fixture mock lint deploy deployment pipeline server localhost port cors http https url
        null undefined segfault segmentation deadlock mutex hook component implement linux ubuntu
        awk sed grep cron systemd ssh makefile cmake gcc struct interface enum def const let var
        elif printf println import return int str async malloc char void select where join excel
        macro vba webhook oauth jwt lambda iterator generator decorator stdin stdout repo""",
    "maths": """calculate compute solve equation equations derivative differentiate integral
        integrate limit matrix determinant eigenvalue eigenvalues eigenvector polynomial factor
        factorise factorize simplify prove proof theorem lemma induction irrational prime divisor
        divisible remainder modulo fraction fractions percent percentage probability dice coin
        coins permutations combinations triangle circle rectangle square cube sphere cone cylinder
        radius diameter circumference area perimeter volume angle hypotenuse sine cosine tangent
        logarithm log ln exponent root sqrt sum product quotient difference twice half third
        quarter times divided plus minus multiplied altogether left remain consecutive integer
        integers speed average interest rate km miles metres meters hours minutes per each total
        many much cost costs price cents dollars euros earns saves buys sells apples marbles balls
        vector converges series geometric arithmetic algebra trigonometry inequality""",
    "reasoning": """riddle puzzle logic logical logically deduce deduction deductive infer inference
        conclude conclusion conclusions premise premises therefore hence follows follow fallacy
        fallacious flaw argument arguments assumption assumptions valid invalid contradiction
        contradict lying liar liars lies truth truths lie suspect suspects culprit clue clues
        possible impossible must either neither nor statement statements true false knights
        knaves oldest youngest older younger taller shorter order sits seated seat seats next
        switch switches doors guards boat cross wolf goat reason reasoning implies imply
        hypothesis cause causes rule evidence weigh strongest weakest dilemma paradox why""",
    "asks": """what who whom whose which when where why how is are was were does did do can has have
        define definition meaning explain explanation describe tell difference between""",
    "knowledge": """capital population currency country countries history historical war revolution
        century empire king queen president invented inventor discovered discovery founded born
        died named planet planets sun moon star stars galaxy gas atom atoms cell cells protein
        mitosis photosynthesis evolution species animal animals mammal bird birds organ blood
        heart liver vitamin symptoms disease diseases deficiency medicine treatment virus bacteria
        law legal constitution treaty economics economy inflation gdp swap monetary theory
        philosopher philosophy religion painter painted wrote author novelist composer composed
        river mountain ocean continent language official largest longest highest tallest deepest
        temperature boiling freezing chemical element metal energy gravity quantum relativity
        stand abbreviation mean considered called happens works work made caused""",
    "options": """a b c d e f following option options answer choose correct except""",
    "writing": """write writing wrote compose draft story stories tale novel chapter poem poems
        sonnet haiku limerick ballad verse verses rhyme lyrics song essay article blog letter
        email mail speech toast eulogy obituary script screenplay dialogue scene monologue
        newsletter release invitation note memo cover resignation complaint recommendation review
        brochure copy landing page description guide piece opinion fairy fantasy detective ghost
        thriller fiction slogan tagline autobiography biography words paragraphs subheadings
        headings bedtime opening introduction""",
    "social": """tweet tweets twitter x tweetstorm thread instagram insta ig facebook linkedin
        tiktok pinterest mastodon toot bluesky threads snapchat youtube reddit social media post
        posts posting caption captions hashtag hashtags followers emoji emojis reel reels story
        stories carousel bio viral influencer characters hook announce feed""",
    "rewriting": """rewrite rewriting rephrase reword rewording paraphrase edit editing proofread
        correct correction corrections grammar spelling punctuation typo typos mistake mistakes
        commas capital polish improve improved formal informal polite politely politer kindly
        kinder nicer nice friendlier friendly harsh tone style wordy concise clearer shorter
        simpler simple plain jargon active passive voice tense perspective phrasing wording
        flow trim cut shorten fix sound sounds fluent natural version better tidy stronger
        softer alternative expand sentence english""",
    "summarising": """summarise summarize summarised summarized summary summaries sum tldr tl dr
        gist condense condensed abstract overview recap digest synopsis takeaway takeaways key main
        point points essence brief briefly boil short shorten outline minutes basically bottom
        line highlights bullet bullets executive nutshell core message idea central""",
    "translation": """translate translated translates translating translation translations
        translator traduire traduis traduisez traduce traducir tradurre traduci übersetze
        übersetzen übersetzung tradução traduza vertaal render localise localize interpret
        subtitles phrase equivalent word say says auf deutsch englisch französisch spanisch
        anglais inglés inglese italiano español français""",
    "languages": """english french german spanish italian portuguese dutch polish russian ukrainian
        czech slovak hungarian romanian bulgarian greek turkish arabic hebrew persian farsi hindi
        urdu bengali tamil chinese mandarin cantonese japanese korean vietnamese thai indonesian
        malay swahili swedish norwegian danish finnish icelandic estonian latvian lithuanian
        catalan basque irish welsh latin croatian serbian slovenian""",
    "extraction": """extract extracted extraction extracting pull parse parsed identify find list
        names named entities entity mentioned dates date addresses address phone numbers number
        amounts amount email emails fields field key keys value values json csv table column
        columns return retrieve collect get output only copy quote pick scan structured occur
        invoice iban order items action owners deadlines ingredients companies persons places
        locations organisations organizations timestamp user contained appear""",
    "classification": """classify classified classification classifier categorise categorize
        category categories label labels labelled tag tags sentiment positive negative
        neutral spam ham toxic toxicity hate priority urgency urgent low medium high intent topic
        genre tone angry calm happy sad emotion emotions assign belongs belong fits fit sort group
        detect whether
        yes no clickbait satisfied unhappy department rate rating score scale flag class formal
        fiction type decide determine""",
    "planning": """plan plans planning schedule scheduling timetable itinerary agenda roadmap
        checklist steps step timeline milestones milestone organise organize organising arrange
        arrangement prepare preparation prepare trip travel weekend holiday vacation packing route
        routine calendar curriculum lessons budget meal meals menu workout training practice goal
        goals weekly daily month months week weeks days day visit tour launch kickoff workshop
        wedding party event renovate project quarter phases priorities beginner""",
    "data": """data dataset datasets table csv spreadsheet excel chart charts graph plot histogram
        dashboard metric metrics kpi kpis trend trends trending outlier outliers anomaly correlate
        correlated correlation regression coefficient significant significance p n sample variance
        deviation mean median distribution quartile percentile confidence interval analyse analyze
        analysis interpret insight insights conversion conversions churn retention cohort cohorts
        bounce visits revenue sales survey respondents figures forecast seasonality season pivot
        segment segments group groups compare compared comparison noise ab variant experiment
        statistics statistical columns rows month region branches performs odd unusual""",
    "talk": """hi hello hey hiya morning evening night goodbye bye thanks thank feel feeling
        feelings felt lonely sad happy tired bored excited nervous scared love miss friend chat talk
        joke jokes funny lol haha hmm wow sorry favourite favorite opinion yourself you your pretend
        roleplay act imagine sleep awake today dream cry cried glad fun nice weather mood real
        human honestly boss mother father boyfriend girlfriend""",
    "me": """i im me my mine myself we our""",
    "media": """picture pictures image images photo photos photograph draw drawing paint painting
        illustration illustrate logo render rendering watercolour watercolor oil sketch portrait
        background lighting light isometric style 3d poster icon wallpaper aloud audio voice
        recording transcribe transcript sing music play video attached attachment attachments
        screenshot upload uploaded file""",
    "devices": """turn set alarm timer remind reminder call dial open close lights lamp heating
        thermostat volume lock unlock door garage order buy book booking tickets ticket reserve
        cancel delivery deliver near cheap reset password account login invoice delete send
        weather directions navigate print""",
    "fragments": """test testing asdf qwerty qwertz lorem ipsum again next continue forward back
        above previous same before second other more it that this those ok yes no instructions
        ignore system prompt""",
    "given": """following below above text texts passage paragraph article sentence sentences report
        email message letter note notes review reviews ticket comment post thread chapter abstract
        transcript paper this here content document""",
    "makes": """write make create draft give generate compose produce prepare build design suggest
        come need want""",
}

GROUPS = tuple(_CUES)


def words_of_cues() -> dict[bytes, tuple[int, ...]]:
    """Each word of the lexicon, lower case, with the indices of its groups."""
    found: dict[bytes, tuple[int, ...]] = {}
    for index, text in enumerate(_CUES.values()):
        for word in dict.fromkeys(text.encode().split()):
            found[word] = (*found.get(word, ()), index)
    return found
