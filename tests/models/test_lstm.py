import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lstm_tune.models.lstm import Dropout, LstmLayer, StackedLstm


def textbook_lstm(x: Tensor, weight_hh: Tensor, weight_ih: Tensor, bias: Tensor) -> Tensor:
    """Hidden states of every step by the gate equations, with [h, x] concatenated; [B, T, H]."""
    units = weight_hh.shape[1]
    w_i, w_f, w_g, w_o = torch.cat([weight_hh, weight_ih], dim=1).split(units)
    b_i, b_f, b_g, b_o = bias.split(units)
    h = c = x.new_zeros(x.shape[0], units)
    states = []
    for t in range(x.shape[1]):
        hx = torch.cat([h, x[:, t]], dim=1)
        f = torch.sigmoid(hx @ w_f.T + b_f)
        i = torch.sigmoid(hx @ w_i.T + b_i)
        g = torch.tanh(hx @ w_g.T + b_g)
        c = f * c + i * g
        o = torch.sigmoid(hx @ w_o.T + b_o)
        h = o * torch.tanh(c)
        states.append(h)
    return torch.stack(states, dim=1)


def seeded_layer(**options: float | bool) -> tuple[LstmLayer, Tensor]:
    torch.manual_seed(0)
    return LstmLayer(3, 5, **options), torch.randn(4, 7, 3)  # type: ignore[arg-type]


def weights(layer: LstmLayer, suffix: str = "") -> tuple[Tensor, Tensor, Tensor]:
    hh, ih = layer.lstm.get_parameter(f"weight_hh_l0{suffix}"), layer.lstm.get_parameter(f"weight_ih_l0{suffix}")
    bias = layer.lstm.get_parameter(f"bias_hh_l0{suffix}") + layer.lstm.get_parameter(f"bias_ih_l0{suffix}")
    return hh, ih, bias


def test_layer_obeys_the_textbook_gate_equations() -> None:
    layer, x = seeded_layer()
    assert torch.allclose(layer(x), textbook_lstm(x, *weights(layer)), atol=1e-6)


def test_weight_drop_masks_the_hidden_to_hidden_matrix_once_a_call() -> None:
    layer, x = seeded_layer(recurrent_dropout=0.4)
    torch.manual_seed(1)
    found = layer(x)
    torch.manual_seed(1)
    hh, ih, bias = weights(layer)
    dropped = F.dropout(hh, 0.4)
    assert 0 < int((dropped == 0).sum()) < dropped.numel()
    assert torch.allclose(found, textbook_lstm(x, dropped, ih, bias), atol=1e-6)


def test_second_half_of_a_bidirectional_layer_reads_from_the_end() -> None:
    layer, x = seeded_layer(bidirectional=True)
    forwards = textbook_lstm(x, *weights(layer))
    backwards = textbook_lstm(x.flip(1), *weights(layer, "_reverse")).flip(1)
    assert torch.allclose(layer(x), torch.cat([forwards, backwards], dim=-1), atol=1e-6)


def test_weight_drop_masks_both_directions() -> None:
    layer, x = seeded_layer(recurrent_dropout=0.4, bidirectional=True)
    torch.manual_seed(1)
    found = layer(x)
    torch.manual_seed(1)
    (hh, ih, bias), (hh_back, ih_back, bias_back) = weights(layer), weights(layer, "_reverse")
    forwards = textbook_lstm(x, F.dropout(hh, 0.4), ih, bias)
    backwards = textbook_lstm(x.flip(1), F.dropout(hh_back, 0.4), ih_back, bias_back).flip(1)
    assert torch.allclose(found, torch.cat([forwards, backwards], dim=-1), atol=1e-6)


def test_weight_drop_lets_gradients_reach_the_kept_weights_only() -> None:
    layer, x = seeded_layer(recurrent_dropout=0.4)
    torch.manual_seed(1)
    layer(x).sum().backward()
    torch.manual_seed(1)
    hh = weights(layer)[0]
    assert torch.equal(hh.grad == 0, F.dropout(hh, 0.4) == 0)  # type: ignore[operator]


def test_weight_drop_is_off_in_evaluation() -> None:
    layer, x = seeded_layer(recurrent_dropout=0.9)
    assert torch.allclose(layer.eval()(x), textbook_lstm(x, *weights(layer)), atol=1e-6)


@pytest.mark.parametrize("suffix", ["", "_reverse"])
def test_forget_gate_starts_with_a_bias_of_one(suffix: str) -> None:
    layer, _ = seeded_layer(bidirectional=True)
    assert weights(layer, suffix)[2].split(5)[1].tolist() == [1.0] * 5


def test_locked_dropout_drops_the_same_features_at_every_step() -> None:
    torch.manual_seed(0)
    found = Dropout(0.5, locked=True)(torch.ones(2, 50, 6))
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert set(found.unique().tolist()) == {0.0, 2.0}


def test_unlocked_dropout_draws_anew_at_every_step() -> None:
    torch.manual_seed(0)
    found = Dropout(0.5, locked=False)(torch.ones(2, 50, 6))
    assert not torch.equal(found[:, :1].expand_as(found), found)
    assert float(found.mean()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_plain_stack_trains_on_what_it_predicts(bidirectional: bool) -> None:
    torch.manual_seed(0)
    stack, x = StackedLstm(3, units=5, depth=3, bidirectional=bidirectional), torch.randn(4, 7, 3)
    assert stack.is_plain
    trained, predicted = stack.train()(x), stack.eval()(x)
    assert torch.allclose(trained, predicted, atol=1e-6)
    pairs = zip(
        *(torch.autograd.grad(one.sum(), list(stack.parameters())) for one in (trained, predicted)), strict=True
    )
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in pairs)


def test_plain_stack_drops_out_between_its_layers_only() -> None:
    torch.manual_seed(0)
    stack, x = StackedLstm(3, units=8, depth=2, dropout=0.5, locked_dropout=False), torch.randn(4, 7, 3)
    assert stack.is_plain
    assert not torch.equal(stack(x), stack(x))
    assert (stack(x) != 0).all()
    shallow = StackedLstm(3, units=8, depth=1, dropout=0.5, locked_dropout=False)
    assert torch.equal(shallow(x), shallow(x))


def test_stack_without_regularisers_is_one_layer_on_another() -> None:
    torch.manual_seed(0)
    stack, x = StackedLstm(3, units=5, depth=2), torch.randn(4, 7, 3)
    first, second = stack.layers
    expected = textbook_lstm(textbook_lstm(x, *weights(first)), *weights(second))  # type: ignore[arg-type]
    assert torch.allclose(stack(x), expected, atol=1e-6)


def test_residual_adds_the_input_of_a_layer_where_sizes_agree() -> None:
    torch.manual_seed(0)
    stack, x = StackedLstm(3, units=5, depth=2, residual=True), torch.randn(4, 7, 3)
    lower = textbook_lstm(x, *weights(stack.layers[0]))  # type: ignore[arg-type]
    upper = textbook_lstm(lower, *weights(stack.layers[1]))  # type: ignore[arg-type]
    assert torch.allclose(stack(x), lower + upper, atol=1e-6)


def test_layer_norm_normalises_what_enters_the_second_layer() -> None:
    torch.manual_seed(0)
    stack, x = StackedLstm(3, units=5, depth=2, layer_norm=True), torch.randn(4, 7, 3)
    lower = textbook_lstm(x, *weights(stack.layers[0]))  # type: ignore[arg-type]
    centred = lower - lower.mean(dim=-1, keepdim=True)
    normed = centred / (lower.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt()
    assert torch.allclose(stack(x), textbook_lstm(normed, *weights(stack.layers[1])), atol=1e-5)  # type: ignore[arg-type]


def test_stack_in_evaluation_has_no_dropout() -> None:
    torch.manual_seed(0)
    stack = StackedLstm(3, units=5, depth=3, dropout=0.9, recurrent_dropout=0.9).eval()
    x = torch.randn(4, 7, 3)
    assert torch.equal(stack(x), stack(x))
    assert not torch.equal(stack.train()(x), stack(x))


def test_summary_is_the_last_step_of_each_direction() -> None:
    states = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    one_way, two_way = StackedLstm(1, units=4), StackedLstm(1, units=2, bidirectional=True)
    assert one_way.summary(states).tolist() == [[8, 9, 10, 11], [20, 21, 22, 23]]
    assert two_way.summary(states).tolist() == [[8, 9, 2, 3], [20, 21, 14, 15]]
