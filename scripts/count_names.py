#!/usr/bin/env python3
"""count_names.py [FOLDER]: the names at the top of namespace scorematch, each with the header that declares it.

FOLDER holds the headers (include, if none is given); doxygen reads them. Overloads are one name. Operators, macros and
members of classes are not counted; namespaces inside scorematch follow at the end, with the number of names in each.
"""
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

OPTIONS = """
INPUT={folder}
OUTPUT_DIRECTORY={out}
STRIP_FROM_PATH={folder}
RECURSIVE=YES
FILE_PATTERNS=*.hpp
EXTRACT_ALL=YES
GENERATE_HTML=NO
GENERATE_LATEX=NO
GENERATE_XML=YES
XML_PROGRAMLISTING=NO
QUIET=YES
WARNINGS=NO
WARN_IF_DOC_ERROR=NO
INCLUDE_GRAPH=NO
INCLUDED_BY_GRAPH=NO
MACRO_EXPANSION=YES
EXPAND_ONLY_PREDEF=YES
PREDEFINED=SCOREMATCH_INLINE= SCOREMATCH_INLINE_WITH_CALLS= SCOREMATCH_FLATTEN= SCOREMATCH_INLINE_LAMBDA=
"""

MEMBERS = ("function", "variable", "enum", "typedef")


def names_by_namespace(folder):
    names, spaces = {}, set()
    with tempfile.TemporaryDirectory() as out:
        subprocess.run(["doxygen", "-"], input=OPTIONS.format(folder=folder, out=out), text=True, check=True,
                       stderr=subprocess.DEVNULL)
        for entry in pathlib.Path(out, "xml").glob("*.xml"):
            for compound in xml.parse(entry).iter("compounddef"):
                kind, whole = compound.get("kind"), compound.findtext("compoundname")
                if kind in ("struct", "class", "union", "concept"):
                    whole = whole.split("<")[0].strip()  # specialisations are not names of their own
                    space, _, name = whole.rpartition("::")
                    names.setdefault(space, {}).setdefault(name, compound.find("location").get("file"))
                elif kind == "namespace":
                    for member in compound.iter("memberdef"):
                        name = member.findtext("name").split("<")[0].strip()
                        if not name.startswith("operator") and member.get("kind") in MEMBERS:
                            names.setdefault(whole, {}).setdefault(name, member.find("location").get("file"))
                    names.setdefault(whole, {})
                    spaces.add(whole)
    return {space: names[space] for space in spaces}


names = names_by_namespace(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "include").resolve())
top = names["scorematch"]
for name in sorted(top):
    print(f"{name:40} {top[name]}")
print(f"\n{len(top)} names at the top of namespace scorematch; in the namespaces inside it:")
for space in sorted(names):
    if space.startswith("scorematch::"):
        print(f"{space:48} {len(names[space])}")
