"""Words that tell what a text is about: a small lexicon of our own, by topic."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS: Mapping[str, str] = {
    "algebra": """equation equations polynomial polynomials root roots factor factors matrix
        matrices vector vectors eigenvalue determinant linear quadratic integer integers prime
        modulo divisible remainder group subgroup ring field isomorphic homomorphism abelian
        permutation sequence series converges logarithm exponent variable variables coefficient
        inequality sum product function domain range inverse""",
    "calculus": """derivative integral integrate differentiate limit continuous differential
        tangent slope curve area volume surface radius diameter circle triangle rectangle square
        perpendicular parallel angle angles degrees sine cosine theta pi ellipse parabola
        coordinates axis theorem lemma converge maximum minimum""",
    "arithmetic": """many much total each left cost costs price dollars cents per hour hours
        minutes day days week weeks twice half double times more fewer remaining altogether bought
        sold apples money miles speed distance average percent percentage fraction discount""",
    "chance": """probability random variance deviation mean median distribution normal sample
        samples hypothesis confidence regression correlation dice coin cards expected estimator
        likelihood bayes bayesian poisson binomial percentile statistic statistical significance""",
    "mechanics": """force mass velocity acceleration momentum energy kinetic potential friction
        gravity newton newtons joules pendulum spring torque rotation angular orbit projectile
        collision pulley block inertia work power height falls meters seconds kilograms beam stress
        strain load fluid pressure viscosity flow pipe pump reynolds""",
    "fields": """electric magnetic charge current voltage resistance resistor capacitor inductor
        circuit ohm ohms volts amperes watts field flux wave wavelength frequency light lens mirror
        refraction photon photons electron electrons proton neutron nucleus quantum spin
        relativity laser optical antenna transistor diode amplifier signal filter bandwidth""",
    "heat": """temperature heat thermal entropy enthalpy adiabatic isothermal reversible ideal gas
        boiling freezing melting steam boiler turbine engine efficiency carnot cycle kelvin celsius
        fahrenheit refrigerator vapor saturated conduction convection radiation btu""",
    "chemistry": """molecule molecules atom atoms ion ions bond bonds reaction reactions acid acids
        base bases ph oxidation reduction equilibrium solution solute solvent molar molarity moles
        mole grams compound compounds element elements periodic carbon hydrogen oxygen nitrogen
        sodium chlorine catalyst polymer organic titration precipitate electrolyte isotope""",
    "life": """cell cells protein proteins dna rna gene genes genetic chromosome chromosomes enzyme
        enzymes membrane mitochondria photosynthesis species evolution natural selection plant
        plants animal animals bacteria virus organism organisms mutation allele phenotype genotype
        ecosystem population predator habitat hormone neuron neurons muscle embryo mitosis""",
    "medicine": """patient patients disease diseases symptoms treatment diagnosis doctor physician
        clinical blood pressure heart liver kidney lung cancer tumor infection antibiotic vaccine
        drug drugs dose therapy surgery pain fever chronic acute syndrome artery vein bone
        examination year-old man woman pregnancy infant nutrition diet vitamin""",
    "mind": """psychology psychologist behavior behaviour cognitive memory learning perception
        emotion emotions personality anxiety depression therapist client counseling motivation
        conditioning reinforcement stimulus development child children adolescents parents
        attachment intelligence test attitude social self stress disorder freud piaget""",
    "law": """court law legal contract contracts defendant plaintiff liability negligence tort
        statute constitution constitutional amendment judge jury trial evidence hearsay crime
        criminal murder property landlord tenant deed estate sued lawsuit damages breach seller
        buyer attorney jurisdiction federal state action motion rights""",
    "economy": """economy economic economics market markets demand supply price elasticity
        inflation unemployment gdp monetary fiscal policy tax taxes tariff trade exports imports
        currency exchange interest rate rates bank banks bond bonds monopoly competition firm firms
        profit consumer consumers marginal utility equilibrium curve keynesian growth""",
    "business": """company companies business management manager managers employees organization
        marketing customers brand strategy sales revenue accounting balance sheet assets
        liabilities depreciation inventory invoice stock stocks shares dividend investor audit
        stakeholders ethics corporate governance ceo leadership budget cash""",
    "society": """government president congress parliament election war treaty king queen empire
        revolution century colonial nation nations country countries political party democracy
        policy soviet german british french american africa europe asia china population culture
        religion church ancient dynasty slavery rights military army""",
    "thought": """philosophy philosopher argument premise conclusion fallacy valid invalid logic
        logical moral morality ethics ethical virtue duty utilitarianism kant aristotle plato hume
        knowledge belief truth reality existence god soul consciousness free will justice
        proposition predicate implies syllogism formalizations""",
    "computing": """algorithm program code function python java array list string tree graph node
        nodes stack queue hash sort sorted memory cache processor cpu bit bits byte bytes binary
        network packet protocol tcp ip server database sql compiler boolean loop recursion
        complexity class object return def int integer input output encryption security""",
    "everyday": """person people someone friend friends house room door kitchen water food car
        street shop store school teacher student family mother father dog cat morning night weather
        hand hands body clothes sleep walk ran went put took likely because sentence story
        character describes dialogue""",
    "words": """write essay poem story letter email paragraph translate translation summarize
        summary rewrite grammar adjective verb noun synonym title headline blog article post
        persuasive formal tone rhyme haiku song lyrics description slogan speech outline""",
}

TOPICS = tuple(_WORDS)


def words_of_topics() -> dict[bytes, tuple[int, ...]]:
    """Each word of the lexicon, lower case, with the indices of its topics."""
    found: dict[bytes, tuple[int, ...]] = {}
    for index, text in enumerate(_WORDS.values()):
        for word in dict.fromkeys(text.encode().split()):
            found[word] = (*found.get(word, ()), index)
    return found
