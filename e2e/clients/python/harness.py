"""What every case uses: recorded clients, waiting, expected refusals, and the list of cases.

A case is a function with the decorator `case`. It makes what it needs, and names it after itself. A call of a method
that Holm does not answer yet ends the case early and is counted; everything else that goes wrong is a failure.
"""

import itertools
import os
import re
import sys
import time
import traceback
import xmlrpc.client

import pyone
from pyone.acl import OneAcl
from pyone.server_xrpc import OneServerXRPC

# What Holm says of objects that the caller may not even see: that there are none. OpenNebula tells them apart.
HIDDEN = pyone.OneNoExistsException

# What people write into names and values: other alphabets, quotes, markup, the end of a CDATA section, line ends.
NAME = "Prüfstück 漢字 (1)"
ODD = "a ]]> b < c & d \" e ' f \\ g = [h, i]\tj\nsecond line ü 漢字 🦀 $NAME #x"

SHORT = 0.03
PATIENCE = 60


class Missing(Exception):
    """The case needs a method that Holm does not answer yet."""


class Client(OneServerXRPC):
    """pyone's own client. It only writes down which methods were answered with success."""

    def __init__(self, cloud, session):
        super().__init__(cloud.endpoint, session)
        self.cloud = cloud
        self.session = session

    def _do_request(self, method, params):
        if method not in self.cloud.done:
            raise Missing(method)
        self.cloud.called.add(method)
        answer = super()._do_request(method, params)
        if answer[0]:
            self.cloud.answered.add(method)
        return answer

    def text(self, method, *arguments):
        """The text of an answer whose root element pyone has no class for."""
        answer = self._do_request(method, self._cast_parms(arguments))
        if not answer[0]:
            raise AssertionError(f"{method}: {answer}")
        return answer[1]


class Cloud:
    """The cloud under test, seen by its administrator."""

    def __init__(self, endpoint, session):
        self.endpoint = endpoint
        self.called, self.answered = set(), set()
        self.numbers = itertools.count(1)
        proxy = xmlrpc.client.ServerProxy(endpoint, encoding="utf-8")
        self.done = {name for name in proxy.system.listMethods() if name.startswith("one.")}
        self.admin = Client(self, session)

    def fresh(self, word):
        """A name that nothing else has."""
        return f"{word}-{next(self.numbers)}"

    def group(self, word="group"):
        """A new group whose members may make what the members of `users` may: the rule that the command line adds."""
        group = self.admin.group.allocate(self.fresh(word))
        kinds = "VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VMGROUP"
        self.admin.acl.addrule(*OneAcl().parse_rule(f"@{group} {kinds}/* CREATE"))
        return group

    def outside(self, word="outside"):
        """A new group that is in no VDC: its members see no host, network or datastore unless permissions say so."""
        group = self.group(word)
        if group in self.admin.vdc.info(0).GROUPS.ID:
            self.admin.vdc.delgroup(0, group)
        return group

    def tenant(self, word="tenant", groups=()):
        """A new user in the group `users`, or in these groups, and its client."""
        name = self.fresh(word)
        uid = self.admin.user.allocate(name, "secret", "core", list(groups))
        return uid, Client(self, f"{name}:secret")

    def wait(self, what, ask, wanted, patience=PATIENCE):
        """Asks until the answer is wanted; gives that answer."""
        end = time.monotonic() + patience
        while True:
            answer = ask()
            if wanted(answer):
                return answer
            if time.monotonic() > end:
                raise AssertionError(f"waited {patience} s for {what}; the last answer is {describe(answer)}")
            time.sleep(SHORT)

    # Objects that most cases need.

    def host(self, word="host", cluster=-1):
        """A fake host that reports."""
        host = self.admin.host.allocate(self.fresh(word), "dummy", "dummy", cluster)
        self.wait("the host to report", lambda: self.admin.host.info(host), lambda it: it.STATE == 2)
        return host

    def hosts(self):
        """Two hosts that all cases share."""
        if not hasattr(self, "shared_hosts"):
            self.shared_hosts = [self.host("shared"), self.host("shared")]
        return self.shared_hosts

    def image(self, client=None, extra="", size=64):
        """An empty disk that is ready."""
        client = client or self.admin
        image = client.image.allocate(f'NAME="{self.fresh("disk")}"\nTYPE=DATABLOCK\nSIZE={size}\n{extra}', 1)
        self.image_state(image, 1, client)
        return image

    def image_state(self, image, state, client=None):
        """Waits until the image is in this state."""
        client = client or self.admin
        return self.wait(f"image {image} in state {state}", lambda: client.image.info(image), lambda i: i.STATE == state)

    def network(self, extra="", size=20, client=None):
        """A network with a range of its own."""
        number = next(self.numbers)
        text = (
            f'NAME="net-{number}"\nVN_MAD=bridge\nBRIDGE=eth0\n'
            f"AR=[TYPE=IP4,IP=10.{number // 250}.{number % 250}.1,SIZE={size}]\n{extra}"
        )
        network = (client or self.admin).vn.allocate(text, -1)
        self.wait("the network", lambda: self.admin.vn.info(network), lambda it: it.STATE == 1)
        return network

    def vm(self, extra="", client=None, hold=False, state=(3, 3)):
        """A small VM, waited for."""
        client = client or self.admin
        self.hosts()
        vm = client.vm.allocate(f'NAME="{self.fresh("vm")}"\nCPU=0.01\nMEMORY=16\n{extra}', hold)
        self.vm_state(vm, *((2, 0) if hold else state))
        return vm

    def vm_state(self, vm, state, lcm=0):
        """Waits until the VM is in this state."""

        def there(info):
            return info.STATE == state and (state != 3 or info.LCM_STATE == lcm)

        return self.wait(f"VM {vm} in state {state}/{lcm}", lambda: self.admin.vm.info(vm), there)

    def end(self, *vms):
        """Ends VMs and waits for the end."""
        for vm in vms:
            self.admin.vm.action("terminate-hard", vm)
        for vm in vms:
            self.vm_state(vm, 6)


def describe(answer):
    """Short words for an answer, for messages."""
    shown = {}
    for name in ("ID", "STATE", "LCM_STATE", "NAME"):
        if hasattr(answer, name):
            shown[name] = getattr(answer, name)
    template = getattr(answer, "USER_TEMPLATE", None) or {}
    for name in ("ERROR", "SCHED_MESSAGE"):
        if name in template:
            shown[name] = template[name]
    return shown or repr(answer)[:300]


def equal(given, wanted, what=""):
    """Says both sides when they differ."""
    if given != wanted:
        raise AssertionError(f"{what}: {given!r} is not {wanted!r}")


def refused(exception, call, *arguments, says=""):
    """The call must fail with exactly this class of pyone's, and with this in its message; `OneException` is any."""
    try:
        answer = call(*arguments)
    except pyone.OneException as error:
        if exception not in (type(error), pyone.OneException):
            raise AssertionError(f"{exception.__name__} was expected: {type(error).__name__}: {error}") from error
        message = str(error)
        if not re.match(r"\[one\.[a-z_.]+\] ", message):
            raise AssertionError(f"the message does not name its method: {message}") from error
        if says not in message:
            raise AssertionError(f"the message should say {says!r}: {message}") from error
        return message
    raise AssertionError(f"{exception.__name__} was expected, and {describe(answer)} was answered")


def ids(pool, element):
    """The ids in a pool, in the order of the answer."""
    return [it.ID for it in getattr(pool, element)]


def several(value):
    """A template's vectors of one name, whether there is one or more."""
    return value if isinstance(value, list) else [value] if value else []


CASES = []


def case(function):
    """Makes the function a case."""
    CASES.append(function)
    return function


def run(cloud, only):
    """Runs the cases; gives the failed ones and the methods that were missing."""
    failed, missing = [], {}
    for function in CASES:
        name = f"{function.__module__}.{function.__name__}"
        if only and not any(word in name for word in only):
            continue
        begun = time.monotonic()
        try:
            function(cloud)
            word = "ok"
        except Missing as error:
            missing.setdefault(str(error), []).append(name)
            word = f"cut short, {error} is not answered yet"
        except Exception:  # Whatever goes wrong in one case must not hide the others.
            failed.append(name)
            word = "FAILED\n" + traceback.format_exc()
        print(f"{name:<44} {time.monotonic() - begun:6.2f} s  {word}", flush=True)
    return failed, missing


def connect():
    """The cloud that the environment names."""
    with open(os.environ["ONE_AUTH"], encoding="utf-8") as file:
        return Cloud(os.environ["ONE_XMLRPC"], file.read().strip())


def planned(sheet):
    """The methods that the sheet of the documentation calls planned, with their priorities."""
    with open(sheet, encoding="utf-8") as file:
        return re.findall(r"^\| `(one\.[a-z_.]+)` \| (P\d) \| planned", file.read(), re.M)


def fail(lines):
    """Ends the program with these lines."""
    print("\n".join(lines), flush=True)
    sys.exit(1)
