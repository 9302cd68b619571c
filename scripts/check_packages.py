#!/usr/bin/env python3
"""check_packages.py: do the recipes of packages agree with the library, and has each what its tool demands?

The version is that of include/scorematch/version.hpp; the least versions of CMake and Eigen are those of CMakeLists.txt.
Conan, Spack and vcpkg need not be installed: their files are read. scripts/consumers.sh builds what can be built.
Names each fault, and exits with 1 if there is one. check_packages.py --self-test breaks each file in a copy and expects
a fault.
"""
import ast
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

VCPKG, CONAN, SPACK, DEBIAN = (
    "packaging/vcpkg/ports/scorematch",
    "packaging/conan",
    "packaging/spack/packages/scorematch",
    "packaging/debian",
)


class Check:
    def __init__(self, root):
        self.root = Path(root)
        self.faults = []

    def read(self, path):
        file = self.root / path
        if not file.is_file():
            self.faults.append(f"{path} is not there")
            return ""
        return file.read_text(encoding="utf-8")

    def require(self, condition, path, text):
        if not condition:
            self.faults.append(f"{path}: {text}")

    def same(self, path, what, found, expected):
        self.require(found == expected, path, f"{what} is {found}; it must be {expected}")

    def first(self, path, pattern):
        """What the group of `pattern`, at the beginning of a line, is in the file."""
        match = re.search(pattern, self.read(path), re.MULTILINE)
        return match.group(1) if match else None

    def python(self, path, base):
        """The class of a recipe: its plain attributes, its methods, its calls of functions, and its text."""
        text = self.read(path)
        try:
            tree = ast.parse(text)
        except SyntaxError as error:
            self.faults.append(f"{path}: {error}")
            return {}, set(), []
        recipe = next((node for node in tree.body if isinstance(node, ast.ClassDef)), None)
        bases = [node.id for node in recipe.bases if isinstance(node, ast.Name)] if recipe else []
        self.require(base in bases, path, f"there is no class derived from {base}")
        attributes, methods, calls = {}, set(), []
        for node in recipe.body if recipe else []:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                attributes[node.targets[0].id] = node.value.value
            elif isinstance(node, ast.FunctionDef):
                methods.add(node.name)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                call = node.value
                arguments = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
                named = {key.arg: key.value.value for key in call.keywords if isinstance(key.value, ast.Constant)}
                calls.append((call.func.id, arguments, named))
        return attributes, methods, calls


def check_vcpkg(check, facts):
    path = f"{VCPKG}/vcpkg.json"
    try:
        manifest = json.loads(check.read(path) or "{}")
    except json.JSONDecodeError as error:
        check.faults.append(f"{path}: {error}")
        return
    check.same(path, "name", manifest.get("name"), "scorematch")
    check.same(path, "version", manifest.get("version"), facts["version"])
    check.same(path, "license", manifest.get("license"), facts["license"])
    check.require(manifest.get("description"), path, "there is no description")
    dependencies = [entry if isinstance(entry, str) else entry["name"] for entry in manifest.get("dependencies", [])]
    for needed in ("eigen3", "vcpkg-cmake", "vcpkg-cmake-config"):
        check.require(needed in dependencies, path, f"{needed} is not among the dependencies")
    path = f"{VCPKG}/portfile.cmake"
    portfile = check.read(path)
    for call in ("vcpkg_cmake_configure", "vcpkg_cmake_install", "vcpkg_cmake_config_fixup", "vcpkg_install_copyright"):
        check.require(f"{call}(" in portfile, path, f"it does not call {call}")
    folder = re.search(r"CONFIG_PATH (\S+?)\)", portfile)
    check.same(path, "CONFIG_PATH", folder and folder.group(1), "share/cmake/scorematch")
    usage = check.read(f"{VCPKG}/usage")
    check.require("scorematch::scorematch" in usage, f"{VCPKG}/usage", "it does not name the target")


def check_conan(check, facts):
    path = f"{CONAN}/conanfile.py"
    attributes, methods, _ = check.python(path, "ConanFile")
    check.same(path, "name", attributes.get("name"), "scorematch")
    check.same(path, "license", attributes.get("license"), facts["license"])
    check.same(path, "package_type", attributes.get("package_type"), "header-library")
    check.require("version" not in attributes, path, "the version is written here; set_version reads version.hpp")
    for method in ("set_version", "export_sources", "requirements", "package_id", "package", "package_info"):
        check.require(method in methods, path, f"there is no method {method}")
    text = check.read(path)
    check.require(f'"eigen/{facts["eigen"]}"' in text, path, f"it does not require eigen/{facts['eigen']}")
    for needed in re.findall(r'"(CMakeLists\.txt|LICENSE|cmake/\*|include/\*|src/\*)"', text):
        exists = any(check.root.glob(needed))
        check.require(exists, path, f"exports {needed}, which is not there")
    _, methods, _ = check.python(f"{CONAN}/test_package/conanfile.py", "ConanFile")
    for method in ("requirements", "build", "test"):
        check.require(method in methods, f"{CONAN}/test_package/conanfile.py", f"there is no method {method}")
    program = check.first(f"{CONAN}/test_package/CMakeLists.txt", r"^add_executable\(example (\S+)\)")
    check.require(
        program and (check.root / CONAN / "test_package" / program).is_file(),
        f"{CONAN}/test_package/CMakeLists.txt",
        f"its program, {program}, is not there",
    )


def check_spack(check, facts):
    path = f"{SPACK}/package.py"
    attributes, methods, calls = check.python(path, "CMakePackage")
    versions = [(arguments[0], named) for name, arguments, named in calls if name == "version"]
    check.require(facts["version"] in [version for version, _ in versions], path, f"there is no {facts['version']}")
    for version, named in versions:
        digest = named.get("sha256", "")
        check.require(re.fullmatch("[0-9a-f]{64}", digest), path, f"sha256 of {version} has not 64 hexadecimal digits")
    check.require(f"scorematch-{facts['version']}.tar.gz" in attributes.get("url", ""), path, "url is of another version")
    check.require("cmake_args" in methods, path, "there is no method cmake_args")
    needed = [arguments[0] for name, arguments, _ in calls if name == "depends_on"]
    check.require(f"cmake@{facts['cmake']}:" in needed, path, f"it does not depend on cmake@{facts['cmake']}:")
    eigen = ".".join(facts["eigen"].split(".")[:2])
    check.require(f"eigen@{eigen}:" in needed, path, f"it does not depend on eigen@{eigen}:")
    licences = [arguments[0] for name, arguments, _ in calls if name == "license"]
    check.same(path, "license", licences[0] if licences else None, facts["license"])
    check.read("packaging/spack/repo.yaml")


def check_debian(check, facts):
    path = f"{DEBIAN}/changelog"
    newest = check.first(path, r"\Ascorematch \(([^)]+)-\d+\) \S+; urgency=\w+$")
    check.same(path, "the newest version", newest, facts["version"])
    check.require(
        re.search(r"^ -- .+ <\S+>  \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$", check.read(path), re.MULTILINE),
        path,
        "its last line must be: one blank, two hyphens, name, address, two blanks, date",
    )
    path = f"{DEBIAN}/control"
    control = check.read(path)
    for field in ("Source: scorematch", "Maintainer:", "Standards-Version:", "Package: libscorematch-dev",
                  "Architecture: all", "Section: libdevel", "Description:"):  # fmt: skip
        check.require(re.search(f"^{field}", control, re.MULTILINE), path, f"there is no {field}")
    eigen = ".".join(facts["eigen"].split(".")[:2])
    check.same(path, "libeigen3-dev", re.findall(r"libeigen3-dev \(>= ([^)]+)\)", control), [eigen, eigen])
    check.same(path, "cmake", re.findall(r"cmake \(>= ([^)]+)\)", control), [facts["cmake"]])
    check.require("dh $@" in check.read(f"{DEBIAN}/rules"), f"{DEBIAN}/rules", "it does not call dh")
    rules = check.root / f"{DEBIAN}/rules"
    check.require(rules.is_file() and rules.stat().st_mode & 0o100, f"{DEBIAN}/rules", "it is not executable")
    check.same(f"{DEBIAN}/source/format", "the format", check.read(f"{DEBIAN}/source/format").strip(), "3.0 (quilt)")
    copyright_file = " ".join(check.read(f"{DEBIAN}/copyright").replace("\n .\n", "\n").split())
    permission = " ".join(check.read("LICENSE").partition("\n\n")[2].partition("\n\n")[2].split())
    check.require(permission[:200] in copyright_file, f"{DEBIAN}/copyright", "the licence is not that of LICENSE")
    check.read(f"{DEBIAN}/tests/control")


def check_rest(check, facts):
    minor = ".".join(facts["version"].split(".")[:2])
    check.same("CITATION.cff", "version", check.first("CITATION.cff", r"^version: (\S+)$"), facts["version"])
    check.same("CITATION.cff", "license", check.first("CITATION.cff", r"^license: (\S+)$"), facts["license"])
    changes = check.read("CHANGELOG.md")
    named = f"## [{facts['version']}]" in changes or f"To become {facts['version']}" in changes
    check.require(named, "CHANGELOG.md", f"{facts['version']} has no section, nor is the unreleased one to become it")
    for page in ("README.md", "docs/installing.md", f"{VCPKG}/usage", f"{CONAN}/test_package/CMakeLists.txt",
                 f"{DEBIAN}/tests/use"):  # fmt: skip
        for found in re.findall(r"find_package\(scorematch (\d[\d.]*)[ )]", check.read(page)):
            check.same(page, "find_package(scorematch …)", found, minor)
    for found in re.findall(r"scorematch[-_@](\d+\.\d+\.\d+)", check.read("packaging/README.md")):
        check.same("packaging/README.md", "a version", found, facts["version"])


def faults_of(root):
    check = Check(root)
    header = check.read("include/scorematch/version.hpp")
    numbers = re.findall(r"^#define SCOREMATCH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.MULTILINE)
    facts = {
        "version": ".".join(numbers),
        "cmake": check.first("CMakeLists.txt", r"^cmake_minimum_required\(VERSION ([\d.]+)\)"),
        "eigen": check.first("CMakeLists.txt", r"^set\(scorematch_least_eigen ([\d.]+)\)"),
        "license": "MIT" if check.read("LICENSE").startswith("MIT License") else "another one",
    }
    check.require(len(numbers) == 3, "include/scorematch/version.hpp", "there are not three numbers")
    for part in (check_vcpkg, check_conan, check_spack, check_debian, check_rest):
        part(check, facts)
    return check.faults, facts["version"]


def self_test(root, version):
    """Each of these changes must be found."""
    later, minor = version + "1", version.rpartition(".")[0]
    changes = [
        ("include/scorematch/version.hpp", "PATCH ", "PATCH 9"),
        ("CITATION.cff", version, later),
        ("LICENSE", "MIT License", "Other"),
        (f"{VCPKG}/vcpkg.json", version, later),
        (f"{VCPKG}/vcpkg.json", '"eigen3",', ""),
        (f"{VCPKG}/vcpkg.json", "{", "{{"),
        (f"{VCPKG}/portfile.cmake", "vcpkg_install_copyright", "install_copyright"),
        (f"{CONAN}/conanfile.py", "def package_info", "def information"),
        (f"{CONAN}/conanfile.py", "eigen/3.4.0", "eigen/3.3.0"),
        (f"{CONAN}/conanfile.py", "class ", "klass "),
        (f"{SPACK}/package.py", f'version("{version}"', f'version("{later}"'),
        (f"{SPACK}/package.py", "cmake@3.25:", "cmake@3.20:"),
        (f"{SPACK}/package.py", "00000000", "0000"),
        (f"{DEBIAN}/changelog", f"{version}-", f"{later}-"),
        (f"{DEBIAN}/control", "libeigen3-dev (>= 3.4)", "libeigen3-dev (>= 3.3)"),
        (f"{DEBIAN}/copyright", "Permission is hereby granted", "Permission is granted"),
        ("docs/installing.md", f"find_package(scorematch {minor} ", f"find_package(scorematch {minor}1 "),
        ("CHANGELOG.md", version, "something"),
    ]
    kept = ("packaging", "include/scorematch/version.hpp", "CITATION.cff", "LICENSE", "CMakeLists.txt", "CHANGELOG.md",
            "README.md", "docs/installing.md", "cmake", "src", "tests/consumer")  # fmt: skip
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for name in kept:
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            source = Path(root, name)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        for path, before, after in changes:
            file = Path(folder, path)
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(before, after), encoding="utf-8")
            if before not in text or not faults_of(folder)[0]:
                faults.append(f"{path} with {after!r} in place of {before!r} is not found")
            file.write_text(text, encoding="utf-8")
    return faults


def main():
    root = Path(__file__).resolve().parent.parent
    faults, version = faults_of(root)
    if not faults and sys.argv[1:] == ["--self-test"]:
        faults = self_test(root, version)
    for fault in faults:
        print(f"check_packages.py: {fault}", file=sys.stderr)
    if not faults:
        print(f"packages: all recipes are of version {version}")
    return 1 if faults else 0


sys.exit(main())
