"""What observers read of the loss, whatever terms a loss from outside the package has."""

from types import SimpleNamespace

import torch

from nersweep.training.history import History
from nersweep.training.observers import LossReader


def see(reader, loss, terms):
    """Show a micro-batch to the reader: its loss and its terms, on any device."""
    named = {name: (1.0, value) for name, value in terms.items()}
    emissions = torch.zeros(1, device=loss.device)
    reader.see_backward(SimpleNamespace(loss=loss, terms=named, emissions=emissions))


def test_steps_keep_their_own_terms_and_a_term_named_loss_is_no_part_of_the_loss():
    history = History()
    reader = LossReader(history, lambda step: None)
    one = torch.tensor(1.0)
    for micro_batch in (1, 2):
        see(reader, micro_batch * one, {"loss": 4 * one, "dice": 8 * one})
    reader.see_step(0.1, one)
    see(reader, 5 * one, {"dice": 6 * one, "focal": 7 * one, "boundary": 8 * one})
    reader.see_step(0.1, one)
    reader.read()
    first, second = history.steps
    assert (first.loss, first.terms) == (3, {"loss": 8, "dice": 16})
    assert (second.loss, second.terms) == (5, {"dice": 6, "focal": 7, "boundary": 8})


def test_terms_of_another_device_move_to_the_models():
    reader = LossReader(History(), lambda step: None)
    loss = torch.tensor(1.0, device="meta")  # stands for a GPU: it takes no value of the CPU
    for _ in range(2):
        see(reader, loss, {"dice": torch.tensor(2.0)})
    assert reader.terms["dice"].device == loss.device
