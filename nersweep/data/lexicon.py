"""The words and phrases that a generated corpus is written from.

In a phrase ~ is a coined Name, _ a coined noun, {} the mention, CAPITALS a word of that pool.
"""


def phrases(text: str) -> list[list[str]]:
    """Return the phrases of a text, separated by |, as lists of words."""
    return [phrase.split() for phrase in text.split("|")]


def by_pool(**texts: str) -> dict[str, list[str]]:
    return {pool: text.split() for pool, text in texts.items()}


def by_type(**texts: str) -> dict[str, list[list[str]]]:
    return {type_: phrases(text) for type_, text in texts.items()}


POOLS = by_pool(
    ONSET="b br c ch d dr f g gr h j k l m n p r s sh st t th tr v w z",
    VOWEL="a a e e i o o u ai ei",
    CODA="l n r s x nd rk th m ck",
    FIRST="Anna James Maria David Laura Peter Elena Thomas Sofia Michael Ines Robert Yuki "
    "Daniel Fatima George Nora Ahmed Clara Victor Helen Samuel Olga Martin",
    LAST=(
        "Smith Garcia Novak Brown Rossi Miller Tanaka Jones Weber Silva Clark Ivanov ~son ~ez "
        "~ov ~ ~ ~ ~"
    ),
    PLACE="London Paris Texas Kenya Madrid Chicago Norway Boston Lima Cairo ~ton ~burg ~ia "
    "~ville ~ ~ ~",
    DAY="Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    MONTH="January March May June August October",
    YEAR="1996 2008 2010 2014 2020",
    NUMBER="3 5 7 12 20 45 100 300",
    NOUN="report price market game plan team deal court film road house _ _ _ _",
    VERB="rose fell met won lost waited left agreed _ed",
    ADVERB="again sharply quietly later slowly reportedly _ly",
    FOREIGN="German French Chinese ~ish ~ese ~ian",
)
NAMES = by_type(
    PER="FIRST LAST|FIRST LAST|FIRST LAST|FIRST LAST|FIRST ~ LAST|LAST|LAST|FIRST|FIRST van der ~",
    LOC="PLACE|PLACE|PLACE|PLACE|PLACE|New PLACE|Lake ~|~ River|Mount ~|~ Park|North ~ Island",
    ORG="~|~|~|~ Corp|~ Group|University of PLACE|Bank of PLACE|~ & LAST|PLACE United|~ Park|"
    "~ Games",
    PRODUCT="~|~|~|~ NUMBER|~ Pro|e~|~ Series NUMBER|LAST ~",
    EVENT="~|~ Cup|Battle of PLACE|PLACE Games|~ Series|PLACE Festival|YEAR PLACE Open|PLACE ~",
)
SHARED = phrases(
    "Jordan|Washington|Lincoln|Victoria|Austin|Florence|Ford|Mercury|Phoenix|Hudson|Orlando|"
    "Lourdes|~|~|~|~|~|~|~|~|~|~"
)
CONTEXTS = by_type(
    PER="Mr. {}|Dr. {} said|{} told reporters|{} ( NUMBER )|coach {}|{} said|{} scored twice|"
    "wife of {}|actor {} smiled|his friend {}|FOREIGN lawyer {}|President {}",
    LOC="in {}|near {}|in {}|the city of {}|people living in {}|flew to {}|north of {}|across {}|"
    "a village near {}|in the hills of {}|the border with {}",
    ORG="shares of {}|{} hired NUMBER workers|{} shares fell|at {}|a spokesman for {}|_ maker {}|"
    "analysts at {}|joined {}|profits at {} rose|the board of {}",
    PRODUCT="the new {}|bought a {}|using {}|a version of the {}|sales of the {}|"
    "the {} costs NUMBER dollars|drove his {}|users of {}|installed {}",
    EVENT="during the {}|won the {}|at the {}|before the {}|tickets for the {}|the final of the {}|"
    "the {} was held in MONTH|after {}",
)
NEUTRAL = phrases(
    "{}|about {}|and {}|the {}|of {}|with {}|from {}|for {}|{} VERB|{} has VERB ADVERB|"
    "the story of {}|names like {}|reports about {}|{} and the NOUN|at {}|the new {}"
)
FILLERS = phrases(
    "on DAY|in MONTH|the NOUN VERB|a FOREIGN NOUN|last week|as the NOUN VERB|after the NOUN|"
    "the FOREIGN NOUN VERB|for NUMBER days|but the NOUN VERB ADVERB|NUMBER people VERB|"
    "despite the NOUN|with a NOUN|since YEAR|while a NOUN of NUMBER VERB|for the first time|"
    "on DAY night|because the NOUN VERB|the Prime Minister VERB|in the FOREIGN press|"
    "because of a NOUN in the NOUN|the Internet NOUN|according to a FOREIGN NOUN|"
    "and the NOUN VERB|NUMBER people VERB in the NOUN|a NOUN said"
)
# Where there is room for one word only.
LAST_WORDS = phrases("ADVERB|ADVERB|DAY|today|yesterday|however")
