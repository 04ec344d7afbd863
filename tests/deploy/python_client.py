"""A client in Python, from the .proto file and grpcio alone: attaches as a worker, pushes and pulls."""
# SPDX-License-Identifier: Apache-2.0
import importlib
import os
import queue
import subprocess
import sys
import unittest

import grpc
import numpy

from harness import PARAMD, ProcessTest

PROTO = os.environ["PARAMD_PROTO"]
PROTOC = os.environ.get("PROTOC", "protoc")

# Numbers of the wire: proto/messages.h.
PROTOCOL = 1
FLOAT = 1
INIT_CONSTANT = 3
UPDATE_SGD = 16
REQUEST_PUSH, REQUEST_PULL = 1, 3
REPLY_STAGED, REPLY_PULLED = 1, 5
DEADLINE = 20


class Client:
    """One worker's connection to one ps task."""

    def __init__(self, pb, address):
        self.pb = pb
        self.channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self.header = pb.Header()

    def call(self, method, request):
        reply = getattr(self.pb, f"{method}Reply")
        stub = self.channel.unary_unary(
            f"/paramd.ParameterServer/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString)
        return stub(request, timeout=DEADLINE, wait_for_ready=True)

    def hello(self):
        reply = self.call("Hello", self.pb.HelloRequest(
            protocol=PROTOCOL, version="python", job_name="worker", task_index=0))
        self.header = reply.header
        return reply

    def attach(self):
        """Asks for the highest incarnation seen, takes the place with the next one, and says what
        becomes of what an earlier process left open: nothing was left, so it ends where it stands."""
        seen = self.call("Attach", self.pb.AttachRequest(header=self.header, worker=0))
        reply = self.call("Attach", self.pb.AttachRequest(
            header=self.header, worker=0, incarnation=seen.incarnation + 1, process=4711))
        self.incarnation = reply.incarnation
        self.call("Resolve", self.pb.ResolveRequest(
            header=self.header, worker=0, incarnation=self.incarnation, commit_through=reply.committed))
        return reply

    def open(self):
        """The data stream: put requests into self.out, take replies from self.replies."""
        self.out = queue.Queue()
        stub = self.channel.stream_stream(
            "/paramd.ParameterServer/Data",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.pb.DataReply.FromString)
        self.replies = stub(iter(self.out.get, None), timeout=DEADLINE)

    def request(self, kind, seq, commit_through, **more):
        return self.pb.DataRequest(header=self.header, kind=kind, worker=0, seq=seq,
                                   incarnation=self.incarnation, commit_through=commit_through, **more)

    def close(self):
        self.out.put(None)
        self.channel.close()


class PythonClient(ProcessTest):
    def setUp(self):
        super().setUp()
        subprocess.run([PROTOC, f"--python_out={self.directory}", f"--proto_path={os.path.dirname(PROTO)}",
                        PROTO], check=True)
        sys.path.insert(0, self.directory)
        self.pb = importlib.import_module("paramd_pb2")
        self.hosts = self.port().address
        self.ps = self.start(PARAMD, "ps", f"--ps_hosts={self.hosts}", "--worker_count=1")

    def tearDown(self):
        sys.path.remove(self.directory)
        sys.modules.pop("paramd_pb2", None)
        super().tearDown()

    def test_list_pull_and_push(self):
        pb, client = self.pb, Client(self.pb, self.hosts)
        hello = client.hello()
        self.assertEqual((hello.protocol, hello.ps_count, hello.worker_count), (PROTOCOL, 1, 1))
        self.assertNotEqual(hello.header.job, 0)
        attached = client.attach()
        self.assertTrue(attached.accepted)
        self.assertEqual(attached.committed, 0)

        definition = pb.Definition(
            name="from/python", dtype=FLOAT, shape=[3, 4], device="/job:ps", trainable=True,
            initializer=pb.Initializer(kind=INIT_CONSTANT, values=[1.5], scale=1))
        declared = client.call("Declare", pb.DeclareRequest(header=client.header, definition=definition))
        self.assertTrue(declared.created)
        created = client.call("Create", pb.CreateRequest(
            header=client.header, definition=declared.definition, slices=declared.slices))
        client.call("Initialize", pb.InitializeRequest(header=client.header, handles=[created.handle]))

        listed = client.call("List", pb.ListRequest(header=client.header)).variables
        self.assertEqual([(v.definition.name, list(v.definition.shape), v.initialized, v.bytes)
                          for v in listed], [("from/python", [3, 4], True, 48)])

        gradient = numpy.arange(12, dtype="<f4").reshape(3, 4)
        whole = [pb.Piece(handle=created.handle, offset=0, size=48)]
        client.open()
        client.out.put(client.request(
            REQUEST_PUSH, seq=1, commit_through=0, pieces=whole, data=gradient.tobytes(),
            push=pb.PushHeader(touched=[0], part_bytes=48, frame_count=1,
                               update=pb.Update(kind=UPDATE_SGD, learning_rate=0.5))))
        staged = next(client.replies)
        self.assertEqual((staged.kind, staged.seq, staged.message), (REPLY_STAGED, 1, ""))

        client.out.put(client.request(REQUEST_PULL, seq=1, commit_through=1, pieces=whole))
        pulled = next(client.replies)
        while pulled.kind != REPLY_PULLED:
            pulled = next(client.replies)
        self.assertTrue(pulled.last)
        self.assertEqual(pulled.committed, 1)
        expected = numpy.full((3, 4), 1.5, "<f4") - numpy.float32(0.5) * gradient
        numpy.testing.assert_array_equal(
            numpy.frombuffer(pulled.data, "<f4").reshape(3, 4), expected)

        # The same push once more, as if its answer had been lost: it is known, and counts once.
        client.out.put(client.request(
            REQUEST_PUSH, seq=1, commit_through=1, pieces=whole, data=gradient.tobytes(),
            push=pb.PushHeader(touched=[0], part_bytes=48, frame_count=1,
                               update=pb.Update(kind=UPDATE_SGD, learning_rate=0.5))))
        self.assertEqual(next(client.replies).kind, REPLY_STAGED)
        read = client.call("Read", pb.ReadRequest(header=client.header, handle=created.handle, size=48))
        numpy.testing.assert_array_equal(numpy.frombuffer(read.data, "<f4").reshape(3, 4), expected)
        self.assertEqual(read.step, 1)

        client.call("Finish", pb.FinishRequest(header=client.header, worker=0,
                                               incarnation=client.incarnation))
        client.close()
        self.assert_exit(self.ps, 0)

    def test_what_is_not_ours_is_answered(self):
        client = Client(self.pb, self.hosts)
        client.hello()
        stub = client.channel.unary_unary("/paramd.ParameterServer/Nonsense")
        with self.assertRaises(grpc.RpcError) as caught:
            stub(b"", timeout=DEADLINE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)
        stub = client.channel.unary_unary("/paramd.ParameterServer/List")
        with self.assertRaises(grpc.RpcError) as caught:
            stub(b"\xff\xff\xff", timeout=DEADLINE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        client.channel.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
