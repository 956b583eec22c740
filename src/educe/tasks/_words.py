"""The words that problems are made of: names, values of facts, made-up kinds of things, and words to spell."""

from __future__ import annotations

_NAME_LIST = """
Ada Ben Cleo Dan Eva Finn Gina Hugo Iris Jack Kate Leo Mia Noah Olga Paul Quinn Rosa Sam Tina Umar Vera Will Xena
Yara Zoe Abel Bella Carl Dora Emil Fay Greg Helen Ivan Jill Kurt Lena Max Nora Otto Pia Ralf Sara Tom Ute Vic Wanda
Yuri Zara Alan Beth Chad Diana Eric Flora Glen Hanna Igor Julia Karl Lisa Mark Nina Oscar Petra Rex Sofia Theo Uma
Victor Wendy Yan Zelda Arno Bianca Cyrus Daisy Edgar Frida Gus Heidi Ian Joan Kim Luis Maya Nils Opal Pedro Rita
Simon Tess Ugo Viola Walt Ying Zack Amy Boris Carla Dirk Ella Frank Grace Henry Ines Jonas Karin Lars Mona Nick Oda
Piet Ruth Sven Tara Urs Wim Yvonne
"""
_CITY_LIST = """
Rome Paris Oslo Cairo Lima Delhi Tokyo Quito Accra Berlin Dublin Hanoi Havana Lagos London Lisbon Madrid Milan
Moscow Prague Riga Seoul Sofia Vienna
"""
_JOB_LIST = """
baker cook nurse pilot judge clerk farmer tailor painter singer dancer doctor lawyer miner printer ranger sailor
smith teacher waiter writer banker driver guard
"""
_PET_LIST = """
cat dog goat horse mouse parrot rabbit snake turtle duck goose pony lizard hamster canary ferret
"""
_FOOD_LIST = """
apple bread cheese rice soup pasta salad plum grape melon onion pear bean cake honey olive
"""
_KIND_LIST = """
wug dax fep gorp blick zorp tove mome rath snark boojum vorp lumpus yump wump zump rompus tump numpus brim sorn quim
jelp
"""
_PROPERTY_LIST = """
shiny tall quick loud brave calm warm sharp round heavy sweet proud
"""
_THING_LIST = """
ant arm axe bag ball band bank barn bat bed bell belt bike bird boat book boot bowl box brick bus card cart chair
chalk city clock cloud coat coin cup desk door dress drum eagle ear egg eye fan farm fish flag flute fork fox frog
gate glass glove gun hammer hand hat hill jar jug key kite knife lake lamp leaf lemon lion lock map milk moon nail
neck nest net nose nut oak oven owl pan park pen pig pin pipe plate pond queen quilt radio rain ring river road rock
roof rope rose sail salt sand scarf seed shell ship shirt shoe shop sink skirt sky sled soap sock spoon star stone
stove sun sword table tail tent tiger toe tower train tree truck van vase violin wall watch web whale wheel window
wolf wood yarn zebra zoo
"""

NAMES = tuple(_NAME_LIST.split())
CITIES = tuple(_CITY_LIST.split())
JOBS = tuple(_JOB_LIST.split())
PETS = tuple(_PET_LIST.split())
FOODS = tuple(_FOOD_LIST.split())
KINDS = tuple(_KIND_LIST.split())
PROPERTIES = tuple(_PROPERTY_LIST.split())
SPELLED = (*PETS, *FOODS, *_THING_LIST.split())
