// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * A TCP socket that listens on loopback of the calling thread's network namespace, to be passed to
 * another process. A socket belongs for good to the namespace and the cgroup in which it is made.
 */
public final class LoopbackListener implements AutoCloseable {

  private static final int AF_UNIX = 1;
  private static final int AF_INET = 2;
  private static final int AF_INET6 = 10;
  private static final int SOCK_STREAM_CLOEXEC = 1 | 0x80000;
  private static final int SOCK_NONBLOCK = 0x800;
  private static final int SOL_SOCKET = 1;
  private static final int SO_REUSEADDR = 2;
  private static final int SCM_RIGHTS = 1;
  private static final int IPPROTO_IPV6 = 41;
  private static final int IPV6_V6ONLY = 26;
  private static final int BACKLOG = 1024;
  private static final int SOCKADDR_IN = 16;
  private static final int SOCKADDR_IN6 = 28;
  private static final int SUN_PATH = 108;

  /** struct msghdr, iovec and cmsghdr of every 64-bit Linux. */
  private static final int MSGHDR = 56;

  private static final int IOVEC = 16;
  private static final int CMSGHDR = 16;
  private static final int CMSG_SPACE = 24;

  private final Descriptor socket;

  private LoopbackListener(Descriptor socket) {
    this.socket = socket;
  }

  /**
   * Listens on 127.0.0.1 or ::1.
   *
   * @throws BpfException EADDRNOTAVAIL or EAFNOSUPPORT where there is no such family; EACCES where
   *     the mesh keeps the port for somebody else than who lives in this process's cgroup
   */
  public static LoopbackListener open(boolean v6, int port) {
    Native lib = Native.get();
    Descriptor socket =
        new Descriptor(
            lib.checkErrno(
                "socket",
                lib.libc.socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM_CLOEXEC | SOCK_NONBLOCK, 0)));
    try {
      String where = (v6 ? "[::1]:" : "127.0.0.1:") + port;
      set(lib, socket, SOL_SOCKET, SO_REUSEADDR);
      ByteBuffer address = Native.buffer(v6 ? SOCKADDR_IN6 : SOCKADDR_IN);
      address.putShort(0, (short) (v6 ? AF_INET6 : AF_INET));
      address.put(2, (byte) (port >> 8)).put(3, (byte) port);
      if (v6) {
        set(lib, socket, IPPROTO_IPV6, IPV6_V6ONLY);
        address.put(23, (byte) 1);
      } else {
        address.put(4, (byte) 127).put(7, (byte) 1);
      }
      lib.checkErrno(
          "bind(" + where + ")", lib.libc.bind(socket.fd(), address, address.capacity()));
      lib.checkErrno("listen(" + where + ")", lib.libc.listen(socket.fd(), BACKLOG));
      return new LoopbackListener(socket);
    } catch (RuntimeException e) {
      socket.close();
      throw e;
    }
  }

  private static void set(Native lib, Descriptor socket, int level, int option) {
    lib.checkErrno(
        "setsockopt",
        lib.libc.setsockopt(socket.fd(), level, option, Native.number(1), Integer.BYTES));
  }

  /**
   * Passes this socket to the process that serves a Unix socket (SCM_RIGHTS, unix(7)); it stays
   * open there when it is closed here.
   */
  public void passTo(Path unixSocket) {
    Native lib = Native.get();
    byte[] path = unixSocket.toString().getBytes(StandardCharsets.UTF_8);
    if (path.length >= SUN_PATH) {
      throw new BpfException(unixSocket + " is too long for the path of a Unix socket");
    }
    ByteBuffer address = Native.buffer(2 + SUN_PATH);
    address.putShort(0, (short) AF_UNIX);
    address.put(2, path);
    ByteBuffer one = Native.buffer(1);
    ByteBuffer vector = Native.buffer(IOVEC);
    vector.putLong(0, address(one)).putLong(8, 1);
    ByteBuffer control = Native.buffer(CMSG_SPACE);
    control
        .putLong(0, CMSGHDR + Integer.BYTES)
        .putInt(8, SOL_SOCKET)
        .putInt(12, SCM_RIGHTS)
        .putInt(CMSGHDR, socket.fd());
    ByteBuffer message = Native.buffer(MSGHDR);
    message
        .putLong(16, address(vector))
        .putLong(24, 1)
        .putLong(32, address(control))
        .putLong(40, CMSG_SPACE);
    try (Descriptor connection =
        new Descriptor(
            lib.checkErrno("socket(AF_UNIX)", lib.libc.socket(AF_UNIX, SOCK_STREAM_CLOEXEC, 0)))) {
      lib.checkErrno(
          "connect(" + unixSocket + ")",
          lib.libc.connect(connection.fd(), address, address.capacity()));
      lib.checkErrno("sendmsg(" + unixSocket + ")", lib.libc.sendmsg(connection.fd(), message, 0));
    } finally {
      // What the kernel reads through an address must not be collected before.
      java.lang.ref.Reference.reachabilityFence(one);
      java.lang.ref.Reference.reachabilityFence(vector);
      java.lang.ref.Reference.reachabilityFence(control);
    }
  }

  private static long address(ByteBuffer buffer) {
    if (!buffer.isDirect() || buffer.order() != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException("not a native buffer");
    }
    return MemorySegment.ofBuffer(buffer).address();
  }

  @Override
  public void close() {
    socket.close();
  }
}
