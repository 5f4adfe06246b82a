// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import org.junit.jupiter.api.Test;

final class MessageCountTest {

  private static ByteBuf messages(int... lengths) {
    ByteBuf all = Unpooled.buffer();
    for (int length : lengths) {
      all.writeByte(length % 2).writeInt(length).writeZero(length);
    }
    return all;
  }

  private static long count(ByteBuf... pieces) {
    MessageCount count = new MessageCount();
    for (ByteBuf piece : pieces) {
      count.passed(piece);
    }
    return count.messages();
  }

  @Test
  void nothingIsNoMessage() {
    assertThat(count()).isZero();
    assertThat(count(Unpooled.EMPTY_BUFFER)).isZero();
  }

  @Test
  void messagesOfOneBufferAreCountedAlsoEmptyOnes() {
    assertThat(count(messages(0, 1, 0, 0, 300, 70_000))).isEqualTo(6);
  }

  @Test
  void messagesMayBeCutInTwoAnywhere() {
    ByteBuf all = messages(0, 3, 258, 0, 1);
    for (int cut = 0; cut <= all.readableBytes(); cut++) {
      assertThat(count(all.slice(0, cut), all.slice(cut, all.readableBytes() - cut)))
          .as("cut at %d", cut)
          .isEqualTo(5);
    }
  }

  @Test
  void messagesMayComeByteByByte() {
    ByteBuf all = messages(0, 3, 258, 0, 1);
    MessageCount count = new MessageCount();
    for (int i = 0; i < all.readableBytes(); i++) {
      count.passed(all.slice(i, 1));
    }
    assertThat(count.messages()).isEqualTo(5);
    assertThat(all.readerIndex()).isZero();
  }

  @Test
  void whatIsNotWholeIsNotCounted() {
    ByteBuf all = messages(7, 9);
    assertThat(count(all.slice(0, all.readableBytes() - 1))).isEqualTo(1);
    assertThat(count(all.slice(0, 4))).isZero();
  }

  @Test
  void aLengthHasNoSign() {
    MessageCount count = new MessageCount();
    count.passed(Unpooled.buffer().writeByte(0).writeInt(-1).writeZero(1000));
    assertThat(count.messages()).isZero();
    // Had it been negative, the next bytes were a prefix.
    count.passed(messages(0, 0));
    assertThat(count.messages()).isZero();
  }

  @Test
  void whatIsNotFramedAsMessagesEndsTheCount() {
    assertThat(count(messages(1), Unpooled.buffer().writeByte('<'), messages(1, 1))).isEqualTo(1);
  }
}
