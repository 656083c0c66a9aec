// Package postfix answers Postfix's questions about recipients before it accepts mail for them, so that what nobody will
// take is refused while the sender is still there, rather than bounced at whoever was named as the sender. It speaks the
// protocol of socketmap_table(5): a request is a netstring "map key", and so is the reply.
//
// There are two maps. "recipient" knows the addresses that lead somewhere (for virtual_mailbox_maps), "quota" those whose
// mailbox is full, with what to reply (for check_recipient_access). Nothing is changed by asking. Whoever can connect can
// ask for any address, so the listener must admit none but the mail server.
package postfix
