"""C++ code from .proto files with Debian's protoc and gRPC plugin.

kvasir_proto makes NAME (messages) and, with services = True, NAME_grpc (stubs): most
code needs messages only, and the stubs' headers are slow to compile.
"""

def kvasir_proto(name, src, deps = [], services = False, visibility = None, testonly = False):
    """Generates messages, and stubs if services is set, from one .proto file.

    Args:
      name: name of the cc_library of the messages.
      src: the .proto file, by its path below //proto, which is its import path.
      deps: kvasir_proto targets of the files that src imports.
      services: also make NAME_grpc.
      visibility: of both libraries.
      testonly: only tests may use them.
    """
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_gen",
        testonly = testonly,
        srcs = [src, "//proto:sources"],
        outs = [stem + ".pb.h", stem + ".pb.cc"],
        cmd = "/usr/bin/protoc -Iproto --cpp_out=$(RULEDIR) $(location %s)" % src,
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        copts = ["-w"],
        testonly = testonly,
        strip_include_prefix = "/proto",
        visibility = visibility,
        deps = deps + ["//third_party:protobuf"],
    )
    if not services:
        return
    native.genrule(
        name = name + "_grpc_gen",
        testonly = testonly,
        srcs = [src, "//proto:sources"],
        outs = [stem + ".grpc.pb.h", stem + ".grpc.pb.cc"],
        cmd = "/usr/bin/protoc -Iproto --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin" +
              " --grpc_out=$(RULEDIR) $(location %s)" % src,
    )
    native.cc_library(
        name = name + "_grpc",
        srcs = [stem + ".grpc.pb.cc"],
        hdrs = [stem + ".grpc.pb.h"],
        copts = ["-w"],
        testonly = testonly,
        strip_include_prefix = "/proto",
        visibility = visibility,
        deps = [":" + name, "//third_party:grpc"],
    )
