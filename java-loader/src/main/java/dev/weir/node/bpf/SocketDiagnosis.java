// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.bpf;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The kernel's way to end other processes' sockets by their addresses, for kernels whose iterators
 * cannot: netlink, {@code NETLINK_SOCK_DIAG}, {@code SOCK_DESTROY} (sock_diag(7), {@code
 * linux/inet_diag.h}). It speaks for the network namespace of the thread that opens it.
 */
public final class SocketDiagnosis implements AutoCloseable {

  private static final int AF_NETLINK = 16;
  private static final int SOCK_RAW_CLOEXEC = 3 | 0x80000;
  private static final int NETLINK_SOCK_DIAG = 4;
  private static final short SOCK_DESTROY = 21;
  private static final short NLM_F_REQUEST_ACK = 1 | 4;
  private static final int HEADER = 16;
  private static final int MESSAGE = HEADER + 56;
  private static final int STATES = HEADER + 4;
  private static final int ID = HEADER + 8;
  private static final int SOURCE = ID + 4;
  private static final int DESTINATION = SOURCE + 16;
  private static final int INTERFACE = DESTINATION + 16;
  private static final int COOKIE = INTERFACE + 4;
  private static final int AF_INET = 2;
  private static final long NO_COOKIE = -1;
  private static final int ANSWER = 4096;
  private static final int NLMSG_ERROR = 2;

  private final Native lib = Native.get();
  private final Descriptor socket;
  private final ByteBuffer message = Native.buffer(MESSAGE);
  private final ByteBuffer answer = Native.buffer(ANSWER);
  private int sequence;

  private SocketDiagnosis(int fd) {
    socket = new Descriptor(fd);
  }

  /** Opens it for the calling thread's network namespace. */
  public static SocketDiagnosis open() {
    Native lib = Native.get();
    return new SocketDiagnosis(
        lib.checkErrno(
            "socket(NETLINK_SOCK_DIAG)",
            lib.libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_SOCK_DIAG)));
  }

  /**
   * A socket as the kernel looks for it.
   *
   * @param family AF_INET or AF_INET6
   * @param ipProtocol IPPROTO_TCP or IPPROTO_UDP
   * @param local 16 bytes; IPv4 as v4-mapped
   * @param localPort of this side
   * @param remote 16 bytes; IPv4 as v4-mapped
   * @param remotePort of the peer
   * @param networkInterface it is bound to, or 0
   * @param cookie of the socket, so that no other one with the same addresses is meant; 0: any
   */
  public record Target(
      int family,
      int ipProtocol,
      ByteBuffer local,
      int localPort,
      ByteBuffer remote,
      int remotePort,
      int networkInterface,
      long cookie) {}

  /**
   * Ends a socket: its owner gets ECONNABORTED, the peer of a TCP connection a reset.
   *
   * @return whether it was there still
   * @throws BpfException EOPNOTSUPP when the kernel was built without CONFIG_INET_DIAG_DESTROY
   */
  public boolean destroy(Target target) {
    sequence++;
    message.clear();
    for (int i = 0; i < MESSAGE; i++) {
      message.put(i, (byte) 0);
    }
    message
        .order(ByteOrder.nativeOrder())
        .putInt(0, MESSAGE)
        .putShort(4, SOCK_DESTROY)
        .putShort(6, NLM_F_REQUEST_ACK)
        .putInt(8, sequence)
        .put(HEADER, (byte) target.family())
        .put(HEADER + 1, (byte) target.ipProtocol())
        .putInt(STATES, -1);
    message.putInt(INTERFACE, target.networkInterface());
    long cookie = target.cookie() == 0 ? NO_COOKIE : target.cookie();
    message.putInt(COOKIE, (int) cookie).putInt(COOKIE + 4, (int) (cookie >>> 32));
    message
        .order(ByteOrder.BIG_ENDIAN)
        .putShort(ID, (short) target.localPort())
        .putShort(ID + 2, (short) target.remotePort());
    int from = target.family() == AF_INET ? 12 : 0;
    message.put(SOURCE, target.local(), from, 16 - from);
    message.put(DESTINATION, target.remote(), from, 16 - from);
    lib.checkErrno("send(SOCK_DESTROY)", lib.libc.send(socket.fd(), message, MESSAGE, 0));
    return acknowledged();
  }

  private boolean acknowledged() {
    while (true) {
      long size =
          lib.checkErrno("recv(SOCK_DESTROY)", lib.libc.recv(socket.fd(), answer, ANSWER, 0));
      if (size >= HEADER + Integer.BYTES
          && answer.getShort(4) == NLMSG_ERROR
          && answer.getInt(8) == sequence) {
        int errno = -answer.getInt(HEADER);
        if (errno == 0) {
          return true;
        }
        // Another one of these addresses has another cookie: the one that was meant is gone.
        if (errno == Errno.ENOENT.number() || errno == Errno.ESTALE.number()) {
          return false;
        }
        throw new BpfException("SOCK_DESTROY", errno);
      }
    }
  }

  @Override
  public void close() {
    socket.close();
  }
}
