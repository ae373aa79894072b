# SPDX-License-Identifier: Apache-2.0
"""Uses every class of the Python package podman 1.6.0, the last one that spoke varlink.

Arguments: the address of io.podman; an address to listen at, and the ssh URL that it leads to.
Prints a line for each step; the exit status is 1 if one of them failed.
"""
import collections
import collections.abc
import os
import sys
import traceback

# The package is of 2019; Python 3.10 removed the old names.
collections.MutableMapping = collections.abc.MutableMapping

import podman  # noqa: E402
import psutil  # noqa: E402
import varlink  # noqa: E402
from podman.libs import errors  # noqa: E402

# Tunnel.close() joins the command line of each ssh of this host. psutil has None for a process that has ended
# and was not waited for, as other tests have them at any moment.
each_process = psutil.process_iter
psutil.process_iter = lambda attrs: (p for p in each_process(attrs) if p.info["cmdline"] is not None)

IMAGE = "localhost/box:1"
OTHER = "localhost/python"
EXPORTED = "/tmp/python-podman.tar"
failed = []


def step(name, does):
    """Runs a step, which may return a value for later ones."""
    try:
        value = does()
        print("ok", name, flush=True)
        return value
    except BaseException:
        failed.append(name)
        print("FAILED", name, traceback.format_exc(limit=-3), flush=True)
        return None


def expect(condition, *what):
    """Ends the step if a condition does not hold."""
    if not condition:
        raise AssertionError(*what)


def raises(error, does):
    """Expects an error of the package's own classes."""
    try:
        value = does()
    except error:
        return
    raise AssertionError("no error", value)


def system(client):
    step("system.ping", lambda: expect(client.system.ping()))
    step("system.versions", lambda: expect(client.system.versions.remote_api_version == 1))
    step("system.info", lambda: expect(client.system.info().host["os"] == "linux"))


def images(client):
    found = step("images.list", lambda: [i for i in client.images.list() if IMAGE in i.repoTags][0])
    image = step("images.get", lambda: client.images.get(IMAGE))
    step("image is the same", lambda: expect(image.id == found.id and image.size > 0, image))
    step("image.inspect", lambda: expect(IMAGE in image.inspect().repotags))
    # The member of that name hides the method.
    step("image.history", lambda: expect(len(list(type(image).history(image))) > 0))
    step("image.tag", lambda: image.tag(OTHER + ":1"))
    step("image.export", lambda: image.export("docker-archive:" + EXPORTED, False))
    step("images.import_image", lambda: client.images.import_image(EXPORTED, OTHER + ":2", "text", ["CMD=sh"]))
    step("image.remove", lambda: client.images.get(OTHER + ":2").remove())
    step("untagged", lambda: raises(errors.ImageNotFound, lambda: client.images.get(OTHER + ":2")))
    # The package reads a member that no reply has: it expects ErrorOccurred at most.
    step("images.build needs more", lambda: raises(errors.ErrorOccurred, lambda: client.images.build(["/tmp/x"], ["x"])))
    step("images.pull of no registry", lambda: raises(errors.ErrorOccurred, lambda: client.images.pull("localhost:1/none")))
    step("image.push to no registry", lambda: raises(errors.ErrorOccurred, lambda: image.push("localhost:1/none")))
    step("images.search of no registry", lambda: raises(errors.ErrorOccurred, lambda: list(client.images.search("localhost:1/none"))))
    return image


def containers(client, image):
    made = step("image.create", lambda: image.create(name="python", command=["sh", "-c", "echo said; exec sleep 1000"]))
    step("containers.get", lambda: expect(client.containers.get(made.id).status == "configured", made.status))
    step("container.start", lambda: made.start())
    step("container.status", lambda: expect(made.status == "running" and made.running, made.status))
    step("containers.list", lambda: expect(made.id in [c.id for c in client.containers.list()]))
    step("container.inspect", lambda: expect(made.inspect().id == made.id))
    step("container.processes", lambda: expect(len(list(made.processes())) >= 2))
    step("container.stats", lambda: expect(made.stats().name == "python"))
    step("container.logs", lambda: expect("said" in "".join(made.logs())))
    step("container.changes", lambda: expect("changed" in made.changes()))
    step("container.pause", lambda: expect(made.pause().status == "paused"))
    step("container.unpause", lambda: expect(made.unpause().status == "running"))
    step("container.commit", lambda: made.commit(OTHER + ":3", message="text", change=["LABEL=a=b"]))
    step("container.attach", lambda: made.attach())
    made.pseudo_tty = None
    step("container.export", lambda: made.export("/tmp/python-container.tar"))
    step("container.restart", lambda: expect(made.restart(timeout=1).status == "running"))
    step("container.kill", lambda: expect(made.kill(9).status in ("stopped", "exited"), made.status))
    step("container.wait", lambda: expect(made.wait() == 137))
    step("container.stop of one that has ended", lambda: raises(varlink.VarlinkError, made.stop))
    step("container.remove", lambda: expect(made.remove() == made.id))
    step("container is gone", lambda: raises(errors.ContainerNotFound, lambda: client.containers.get("python")))
    step("containers.delete_stopped", lambda: client.containers.delete_stopped())
    step("images.delete_unused", lambda: client.images.delete_unused())


def ends(container):
    """Runs a container to its end."""
    container.start()
    expect(container.wait() == 0)


def pods(client):
    pod = step("pods.create", lambda: client.pods.create("python-pod", infra=True, labels={"a": "b"}))
    step("pods.get", lambda: expect(client.pods.get("python-pod").id == pod.id))
    step("pods.list", lambda: expect([p.name for p in client.pods.list()] == ["python-pod"]))
    step("pod.inspect", lambda: expect(pod.inspect().id == pod.id))
    step("pod.start", lambda: expect(pod.start().status == "Running", pod.status))
    step("pod.stats", lambda: expect(len(list(pod.stats())) == 1))
    # The package reads `pod`, where the interface has had `stats` from the start.
    step("pod.top", lambda: raises(KeyError, pod.top))
    step("pod.pause", lambda: expect(pod.pause().status == "Paused", pod.status))
    step("pod.unpause", lambda: expect(pod.unpause().status == "Running", pod.status))
    step("pod.restart", lambda: expect(pod.restart().status == "Running", pod.status))
    step("pod.kill", lambda: expect(pod.kill(9).status == "Exited", pod.status))
    step("pod.start again", lambda: pod.start())
    # podman's API would leave the rest of such a pod running.
    step("a container of the pod ends", lambda: ends(client.images.get(IMAGE).create(pod="python-pod", command=["true"])))
    step("pod.stop", lambda: expect(pod.stop().status == "Exited", pod.status))
    step("pod.stop of one that has ended", lambda: pod.stop())
    step("pod.remove", lambda: expect(pod.remove(True) == pod.id))
    step("pod is gone", lambda: raises(errors.PodNotFound, lambda: client.pods.get("python-pod")))
    empty = step("pods.create without infra", lambda: client.pods.create("empty"))
    step("an empty pod", lambda: raises(errors.NoContainersInPod, empty.start))
    step("pod.remove of an empty one", lambda: empty.remove())


def remote(address, url):
    client = step("Client by ssh", lambda: podman.Client(uri=address, remote_uri=url))
    step("system.versions by ssh", lambda: expect(client.system.versions.version))
    step("images.list by ssh", lambda: expect(len(list(client.images.list())) > 0))
    # The package would end its ssh with a thread of its own.
    step("Tunnel.close", lambda: [tunnel.close() for tunnel in client._client._portal])


def main(address, *ssh):
    client = step("Client", lambda: podman.Client(uri=address))
    system(client)
    image = images(client)
    containers(client, image)
    pods(client)
    remote(*ssh)
    print(len(failed), "steps failed", flush=True)
    # A thread of the package's tunnels would go on.
    os._exit(bool(failed))


main(*sys.argv[1:])
