// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.IOException;
import java.nio.ByteBuffer;

/** Sends content by what the other side gives credit for. */
final class Uploads {

  private Uploads() {}

  /** All of it, with the end of the stream. */
  static void send(Http2Peer peer, int stream, int total) throws IOException {
    long ofConnection = 65_535;
    long ofStream = 65_535;
    int sent = 0;
    while (sent < total) {
      int piece = (int) Math.min(Math.min(16_384, total - sent), Math.min(ofConnection, ofStream));
      if (piece > 0) {
        peer.frame(
            Http2Peer.DATA,
            sent + piece == total ? Http2Peer.END_STREAM : 0,
            stream,
            new byte[piece]);
        sent += piece;
        ofConnection -= piece;
        ofStream -= piece;
        continue;
      }
      Http2Peer.Frame frame = peer.next();
      if (frame.type() == Http2Peer.WINDOW_UPDATE) {
        if (frame.stream() == 0) {
          ofConnection += frame.number();
        } else if (frame.stream() == stream) {
          ofStream += frame.number();
        }
      } else if (frame.type() == Http2Peer.SETTINGS && frame.flags() == 0) {
        for (int at = 0; at < frame.payload().length; at += 6) {
          if (frame.payload()[at + 1] == 4) {
            ofStream += ByteBuffer.wrap(frame.payload()).getInt(at + 2) - 65_535;
          }
        }
        peer.frame(Http2Peer.SETTINGS, Http2Peer.ACK, 0, new byte[0]);
      } else if (frame.type() == Http2Peer.RST_STREAM) {
        throw new IOException("reset: " + frame.code());
      }
    }
  }
}
